"""`Upstream` over pooled HTTP/1.1 connections, on servers and Lambda.

The event loop opens them, so no proxy is asked that nobody configured, and the system's certificates decide whom to
trust. The connection used last is used first: those that are too many grow old and are closed.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from common.adapters.upstream.http1 import Connection
from common.model.errors import UpstreamUnreachable
from common.ports import UpstreamRequest

_IDLE_S: Final = 55.0  # below the common 60 and 75 s of servers and load balancers, so that we close first
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Origin:
    host: str
    port: int
    tls: bool


class _Exchange:
    """One request and its answer: the context manager that `send` returns, and the response inside it."""

    __slots__ = ("_connection", "_pool", "_request", "headers", "status")

    def __init__(self, pool: "PooledUpstream", request: UpstreamRequest) -> None:
        self._pool = pool
        self._request = request
        self.status = 0
        self.headers: Mapping[str, str] = {}

    async def __aenter__(self) -> Self:
        request = self._request
        origin, head = _head(request.method, request.url, request.headers)
        connection = await self._pool.acquire(origin, request.timeouts.connect_s)
        message = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(request.body), request.body)
        try:
            await connection.exchange(message, request.timeouts.first_byte_s, request.timeouts.total_s)
        except BaseException:
            connection.finish()
            raise
        self._connection = connection
        self.status, self.headers = connection.status, connection.headers
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._connection.finish():
            self._pool.release(self._connection)

    async def read(self) -> bytes:
        """See `UpstreamResponse.read`."""
        return await self._connection.read(self._request.timeouts.idle_s)


class PooledUpstream:
    """One pool for all providers; open it once per process, within its event loop."""

    def __init__(self) -> None:
        self._idle: dict[object, deque[Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    def send(self, request: UpstreamRequest) -> _Exchange:
        """See `Upstream.send`."""
        return _Exchange(self, request)

    async def acquire(self, origin: _Origin, timeout_s: float) -> Connection:
        """A connection that nobody else uses until it is released."""
        if idle := self._idle.get(origin):
            oldest = asyncio.get_running_loop().time() - _IDLE_S
            while idle and idle[0].idle_since < oldest:
                idle.popleft().abort()
            while idle:
                connection = idle.pop()
                if connection.is_open:
                    return connection
        return await self._connect(origin, timeout_s)

    def release(self, connection: Connection) -> None:
        """Take back one that can serve another request."""
        if self._closed:
            connection.abort()
        else:
            self._idle.setdefault(connection.origin, deque()).append(connection)

    async def _connect(self, origin: _Origin, timeout_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, origin),
                    origin.host,
                    origin.port,
                    ssl=self._trust() if origin.tls else None,
                )
        except (OSError, UnicodeError) as error:
            # UnicodeError: not a host name. OSError: a name that does not resolve, TLS that fails, the time-out too
            raise UpstreamUnreachable("The provider cannot be reached.") from error
        return connection

    def _trust(self) -> ssl.SSLContext:
        """Made when first needed: reading the system's certificates takes some 30 ms."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    async def close(self) -> None:
        """Close all idle connections, and others when they are handed back."""
        self._closed = True
        self.drop_idle()

    def drop_idle(self) -> None:
        """Close all idle connections, for one who has reason to doubt them."""
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()


@lru_cache(maxsize=256)
def _head(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[_Origin, bytes]:
    """Whom a request goes to, and its head but for the length. The same for all of a provider's requests."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UpstreamUnreachable("The provider's address is not valid.")
    try:
        port = parts.port or _PORTS[parts.scheme]
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        named = (
            ("host", parts.netloc.rpartition("@")[2]),
            ("user-agent", "sluice"),
            ("accept-encoding", "identity"),
        )
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in (*named, *headers))]
        head = "\r\n".join([*lines, ""]).encode("latin-1")
    except ValueError as error:
        raise UpstreamUnreachable("The provider's address or headers are not valid.") from error
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise UpstreamUnreachable("The provider's address or headers are not valid.")
    return _Origin(parts.hostname, port, parts.scheme == "https"), head
