"""The load generator: keep-alive connections, each sends its next request when the last one is answered.

With pauses between events, each connection sends one request, all of them spread evenly over a pause.
"""

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httptools

from benchmarks import answers

GRACE_S: Final = 10.0  # after the end of a load, an answer that is still out counts as failed
_STAMP: Final = re.compile(rb"@(\d+)@")


@dataclass(frozen=True, slots=True)
class Kind:
    """What is asked for, and how."""

    events: int = 0  # of a stream; 0: the answer in one piece
    pause_ms: int = 0  # between two events
    body_bytes: int = 1_000  # about; what is more than a long text is an image

    def is_whole(self, body: bytes) -> bool:
        """Whether this is all that was asked for."""
        return answers.is_stream(body, self.events) if self.events else answers.is_completion(body)


@dataclass(frozen=True, slots=True)
class Load:
    """What one period of load saw."""

    seconds: float
    failed: int
    total_s: list[float]  # of each whole answer, sorted
    first_s: list[float]  # from sending to the first bytes of the body, sorted
    late_s: list[
        float
    ]  # from an event's sending by the upstream to its arrival, sorted; of events with a stamp

    @property
    def answered(self) -> int:
        """How many requests got their whole answer."""
        return len(self.total_s)


def quantile_ms(sorted_s: list[float], q: float) -> float:
    """The `q`-quantile of sorted seconds, in milliseconds."""
    return sorted_s[min(len(sorted_s) - 1, int(len(sorted_s) * q))] * 1e3


def request(port: int, key: str | None, kind: Kind) -> bytes:
    """A chat completion as an OpenAI client sends it, ready for the socket."""
    document: dict[str, Any] = {
        "model": answers.MODEL,
        "bench_events": kind.events,  # both for the mock, which looks for them near the front
        "bench_pause_ms": kind.pause_ms,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": _content(kind.body_bytes)},
        ],
        "temperature": 0.7,
        "max_tokens": max(100, kind.events),
    } | ({"stream": True} if kind.events else {})
    body = json.dumps(document, separators=(",", ":")).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "accept: */*",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *([f"authorization: Bearer {key}"] if key else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _content(size: int) -> str | list[dict[str, Any]]:
    text = "Tell me about foxes. " * 37
    if size <= 1_000:
        return text
    address = f"data:image/png;base64,{'iVBORw0KGgoAAAAN' * (size // 16 - 60)}"
    return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": address}}]


class Connection(asyncio.Protocol):
    """One connection with one request out at a time; the `on_` methods are the callbacks of httptools."""

    _transport: asyncio.Transport
    _parser: httptools.HttpResponseParser
    _done: asyncio.Future[None]

    def __init__(self) -> None:
        """Nothing is sent yet."""
        self.status = 0
        self.started = self.first = 0.0
        self._parts: list[bytes] = []
        self.late_s: list[float] = []

    @property
    def body(self) -> bytes:
        """What has come of the answer's body."""
        return b"".join(self._parts)

    def send(self, raw: bytes) -> asyncio.Future[None]:
        """Send a request; the future is done when its answer is complete, or fails with `ConnectionError`."""
        self._parser = httptools.HttpResponseParser(self)
        self._done = asyncio.get_running_loop().create_future()
        self._parts.clear()
        self.started, self.first = time.perf_counter(), 0.0
        if self._transport.is_closing():
            self.connection_lost(None)
        self._transport.write(raw)
        return self._done

    def abort(self) -> None:
        """Drop the connection; a request that is out fails."""
        self._transport.abort()

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent."""
        return not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that is out."""
        if hasattr(self, "_done") and not self._done.done():
            error = ConnectionError("closed before the answer was complete")
            error.__cause__ = exc
            self._done.set_exception(error)

    def on_body(self, body: bytes) -> None:
        """Collect the answer, when it began, and how late its events are."""
        if not self.first:
            self.first = time.perf_counter()
        if b"@" in body:
            now_ns = time.perf_counter_ns()
            self.late_s += [(now_ns - int(sent)) / 1e9 for sent in _STAMP.findall(body)]
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self.status = self._parser.get_status_code()
        if not self._done.done():
            self._done.set_result(None)


@dataclass(slots=True)
class Worker:
    """One connection's share of a load."""

    port: int
    raw: bytes
    kind: Kind
    failed: int = 0
    total_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    connection: Connection | None = None

    async def run(self, start: float, until: float) -> None:
        """Send from `start` until `until`, once at least; connect again where a connection broke."""
        await asyncio.sleep(start - time.perf_counter())
        more = True
        while more:
            try:
                await self._once()
            except OSError:
                self.failed += 1
                self.connection = None
            more = time.perf_counter() < until
        if self.connection:
            self.connection.abort()

    async def _once(self) -> None:
        if self.connection is None:
            loop = asyncio.get_running_loop()
            _, self.connection = await loop.create_connection(Connection, "127.0.0.1", self.port)
        connection = self.connection
        await connection.send(self.raw)
        ended = time.perf_counter()
        if connection.status != 200 or not self.kind.is_whole(connection.body):
            self.failed += 1
            return
        self.total_s.append(ended - connection.started)
        self.first_s.append(connection.first - connection.started)
        self.late_s += connection.late_s


def _abort(workers: list[Worker]) -> None:
    for worker in workers:
        if worker.connection:
            worker.connection.abort()


async def load(port: int, key: str | None, kind: Kind, *, concurrency: int, seconds: float) -> Load:
    """Keep `concurrency` requests out for `seconds`; with pauses, for as long as one stream takes."""
    raw = request(port, key, kind)
    workers = [Worker(port, raw, kind) for _ in range(concurrency)]
    watchdog = asyncio.get_running_loop().call_later(seconds + GRACE_S, _abort, workers)
    started = time.perf_counter()
    apart_s = kind.pause_ms / 1000 / concurrency
    until = started if kind.pause_ms else started + seconds
    await asyncio.gather(*(worker.run(started + apart_s * at, until) for at, worker in enumerate(workers)))
    elapsed = time.perf_counter() - started
    watchdog.cancel()
    return Load(
        seconds=elapsed,
        failed=sum(worker.failed for worker in workers),
        total_s=sorted(value for worker in workers for value in worker.total_s),
        first_s=sorted(value for worker in workers for value in worker.first_s),
        late_s=sorted(value for worker in workers for value in worker.late_s),
    )


async def status(port: int, key: str | None) -> int:
    """The status of one plain request; 0 where nobody answers."""
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        async with asyncio.timeout(GRACE_S):
            await connection.send(request(port, key, Kind()))
    except OSError:  # TimeoutError is one
        return 0
    connection.abort()
    return connection.status
