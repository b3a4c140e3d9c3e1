"""The ASGI server of the local target: Granian, inside our own event loop.

It closes connections whose headers come too slowly or are too many, and on its stop lets running requests finish
while it takes no new ones. It tells of a client's leaving by `receive`; here that becomes `Gone`.
"""

import asyncio
import errno
import gc
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from starlette.types import ASGIApp, Receive, Scope, Send

from common.adapters.background import TaskBackground
from common.gateway.context import Gone, RequestContext

_HEADERS_MS: Final = 10_000
_HEADERS_BYTES: Final = 64 * 1024
_BACKLOG: Final = 2048
_WATCH_AFTER_S: Final = 0.1  # a watching task costs as much as a tenth of a short request
_GC_THRESHOLDS: Final = (20_000, 50, 100)
DRAIN_S: Final = 15.0  # for work that is left when the last response is out


class AddressInUse(Exception):
    """Something listens there already."""


class _WatchedGone(Gone):
    """Listens for the client's leaving when somebody wants to hear of it, and the answer is not out very soon."""

    __slots__ = ("_receive", "_task", "_timer")

    def __init__(self, receive: Receive) -> None:
        super().__init__()
        self._receive = receive
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def on_set(self, callback: Callable[[], None]) -> None:
        super().on_set(callback)
        if self._timer is None and not self.is_set():
            self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._begin)

    def stop(self) -> None:
        """Listen no longer."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.set()


class LocalApp:
    """Hands each request its context. Whoever registers with `gone` has read the body: `receive` is free by then."""

    def __init__(self, app: ASGIApp, background: TaskBackground) -> None:
        self._app = app
        self._background = background
        self._idle: asyncio.Future[None] | None = None
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        gone = _WatchedGone(receive)
        scope["sluice"] = RequestContext(self._background, gone)
        self.running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.running -= 1
            gone.stop()
            if self.running == 0 and self._idle is not None and not self._idle.done():
                self._idle.set_result(None)

    async def wait_idle(self) -> None:
        """Return when nothing is being answered; for when nothing new comes any more."""
        if self.running:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle


class LocalServer:
    """Serves one application on one address."""

    def __init__(
        self,
        app: ASGIApp,
        background: TaskBackground,
        host: str,
        port: int,
        headers_ms: int = _HEADERS_MS,
    ) -> None:
        """`host` and `port` as for `free_address`, which says what is raised. `headers_ms`: for a request's head."""
        self._background = background
        self._app = LocalApp(app, background)
        self.host, self.port = free_address(host, port)
        self._server = Server(
            self._app,
            address=self.host,
            port=self.port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=headers_ms, max_buffer_size=_HEADERS_BYTES),
            websockets=False,
            backlog=_BACKLOG,
            log_enabled=False,
        )

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        return self._app.running

    async def serve(self, on_listening: Callable[[], Awaitable[None]]) -> None:
        """Serve until `stop`; then until running requests and their background work are done."""
        _spare_collections()
        serving = asyncio.get_running_loop().create_task(self._server.serve())
        while not serving.done() and not _listens(self.host, self.port):  # noqa: ASYNC110 - Granian tells nobody
            await asyncio.sleep(0.01)
        if not serving.done():
            await on_listening()
        await serving
        # Granian is done when the last bytes are out; who sent them has yet to hand its record to the background
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._app.wait_idle()
        await self._background.drain(DRAIN_S)

    def stop(self) -> None:
        """Take no new requests."""
        self._server.stop()  # type: ignore[no-untyped-call]


def _spare_collections() -> None:
    """Keep the garbage collector from walking all that was imported, again and again: 5 to 10 % of a request's CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def free_address(host: str, port: int) -> tuple[str, int]:
    """The IP address of `host`, and `port` if nobody listens on it; for port 0 any free one.

    Granian itself knows no host names, and would share a port with whoever listens on it.

    Raises:
        AddressInUse: somebody listens there.
        OSError: nobody could: no such host, not an address of this machine, not permitted.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # of several the one in IPv4: clients that know only one protocol know that
    family, _, _, _, address = min(found, key=lambda each: each[0] is not socket.AF_INET)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # connections that linger are no listeners
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(str(error)) from error
            raise
        bound: tuple[str, int] = probe.getsockname()[:2]
        return bound


def reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _listens(host: str, port: int) -> bool:
    connectable = reachable(host)
    family = socket.AF_INET6 if ":" in connectable else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        return probe.connect_ex((connectable, port)) == 0
