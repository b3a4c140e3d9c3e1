"""`Draining`: an exchange goes on when its client leaves, within bounds, and so does whoever writes to the client."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.gateway import draining
from common.gateway.context import Gone, RequestContext
from common.gateway.delivery import Headers
from common.gateway.draining import Draining
from common.gateway.interrupt import Interruptible
from common.model.errors import ClientLeft, DeadlineNear, UpstreamBroken


class Client:
    """An `Out` that keeps what it gets, until it is told to do something else."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.started = False
        self.on_write: Callable[[], Awaitable[None]] | None = None

    async def start(self, _status: int, _headers: Headers) -> None:
        """See `Out.start`."""
        self.started = True

    async def write(self, data: bytes) -> None:
        """See `Out.write`."""
        if self.on_write is not None:
            await self.on_write()
        self.got.append(data)

    async def end(self, data: bytes = b"") -> None:
        """See `Out.end`."""
        await self.write(data)


class World:
    """One request, and the exchange that is made for it."""

    def __init__(self, deadline_ms: int | None = None) -> None:
        self.client, self.background, self.gone = Client(), TaskBackground(), Gone()
        self.context = RequestContext(self.background, self.gone, deadline_ms)
        self.draining = Draining(self.client, self.context, SystemClock())
        self.writing, self.go_on = asyncio.Event(), asyncio.Event()
        self.ended: list[str] = []
        self.after: list[str] = []

    async def exchange(self) -> None:
        """Write one piece; when told to go on, another."""
        try:
            self.writing.set()
            await self.draining.out.write(b"one")
            await self.go_on.wait()
            await self.draining.out.end(b"two")
            self.ended.append("whole")
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise

    async def settle(self) -> None:
        """What is done afterwards."""
        self.after.append(",".join(self.ended))

    async def request(self, exchange: Callable[[], Awaitable[None]] | None = None) -> str:
        """The request's task; how it ended, and whether the exchange goes on."""
        how = "answered"
        try:
            clock = SystemClock()
            with Interruptible(self.context, clock, clock.monotonic() + 60):
                await self.draining.carry(exchange or self.exchange)  # type: ignore[arg-type]
        except (ClientLeft, DeadlineNear, UpstreamBroken, asyncio.CancelledError) as error:
            how = type(error).__name__
        return f"{how}, {self.draining.goes_on(self.settle)}"


async def test_a_client_that_stays() -> None:
    """It gets everything, and settling is left to the request's own task."""
    at = World()
    at.go_on.set()
    assert await at.request() == "answered, False"
    assert (at.client.got, at.after) == ([b"one", b"two"], [])


async def test_a_failure_is_told() -> None:
    """The request's task raises what the exchange raised."""
    at = World()

    async def broken() -> None:
        raise UpstreamBroken("cut")

    assert await at.request(broken) == "UpstreamBroken, False"


async def left(at: World) -> str:
    """The client leaves when something is being written, or was; how the request ended."""
    task = asyncio.ensure_future(at.request())
    await at.writing.wait()
    await asyncio.sleep(0)
    at.gone.set()
    return await task


async def test_left() -> None:
    """The request's task ends at once; the exchange goes on, what it writes is dropped, then it is settled."""
    at = World()
    assert await left(at) == "ClientLeft, True"
    assert at.after == []
    at.go_on.set()
    assert await at.background.drain(5) == 0
    assert (at.ended, at.after) == (["whole"], ["whole"])
    assert at.client.got == [b"one"]


async def test_left_while_a_write_waits() -> None:
    """A write that waits for a client who does not read is over when it leaves."""
    at = World()
    at.client.on_write = asyncio.Event().wait  # type: ignore[assignment]
    assert await left(at) == "ClientLeft, True"
    at.go_on.set()
    assert await at.background.drain(5) == 0
    assert (at.client.got, at.after) == ([], ["whole"])


async def test_a_write_tells_that_it_has_left() -> None:
    """A server that says so when it is written to ends the request's task, and not the exchange."""
    at = World()

    async def nobody() -> None:
        raise ClientLeft("gone")

    at.client.on_write = nobody
    assert await at.request() == "ClientLeft, True"
    at.go_on.set()
    assert await at.background.drain(5) == 0
    assert at.after == ["whole"]


@pytest.mark.parametrize(
    ("longest_s", "deadline_s"), [(0.01, None), (60.0, 2.01)], ids=["its own bound", "the deadline"]
)
async def test_too_long(monkeypatch: pytest.MonkeyPatch, longest_s: float, deadline_s: float | None) -> None:
    """An exchange that goes on for too long is cut, and settled all the same."""
    monkeypatch.setattr(draining, "LONGEST_S", longest_s)
    at = World(None if deadline_s is None else int((time.time() + deadline_s) * 1000) + 50)
    assert await left(at) == "ClientLeft, True"
    async with asyncio.timeout(5):
        while not at.after:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    assert at.after == ["CancelledError"]


async def test_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one that brings too much."""
    monkeypatch.setattr(draining, "MAX_DROPPED_BYTES", 2)
    at = World()
    assert await left(at) == "ClientLeft, True"
    at.go_on.set()
    assert await at.background.drain(5) == 0
    assert at.after == ["ClientLeft"]


async def test_hurried() -> None:
    """Who drains the background with little time cuts it at once."""
    at = World()
    assert await left(at) == "ClientLeft, True"
    assert await at.background.drain(1) == 0
    assert at.after == ["CancelledError"]


async def test_deadline() -> None:
    """The platform's deadline ends the exchange with the request, whose client is still there and is told so."""
    at = World(int((time.time() + 2.01) * 1000))
    assert await at.request() == "DeadlineNear, True"
    at.client.on_write = None
    await at.draining.out.write(b"farewell")
    assert await at.background.drain(5) == 0
    assert at.after == ["CancelledError"]
    assert at.client.got == [b"one", b"farewell"]


async def test_cancelled_by_the_platform() -> None:
    """A task that is cancelled while the client is there takes the exchange with it; it is settled."""
    at = World()
    task = asyncio.ensure_future(at.request())
    await at.writing.wait()
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "CancelledError, True"
    assert await at.background.drain(5) == 0
    assert at.after == ["CancelledError"]


async def test_who_does_not_drain() -> None:
    """Outside of an exchange that is carried, whoever writes for nobody is told."""
    at = World()

    async def nobody() -> None:
        raise ClientLeft("gone")

    at.client.on_write = nobody
    with pytest.raises(ClientLeft):
        await at.draining.out.write(b"x")
    at.draining.out.leave()
    with pytest.raises(ClientLeft):
        await at.draining.out.write(b"x")
