"""`EventStream`: when a streamed answer begins, how it stays alive, and how it ends."""

import asyncio
from collections.abc import Callable

import pytest

from common.adapters.background import TaskBackground
from common.gateway import delivery
from common.gateway.delivery import EventStream, Headers
from common.model.errors import ClientLeft, UpstreamBroken
from common.wire.sse import KEEP_ALIVE

NEVER_S = 3600.0


class Recorder:
    """An `Out` that keeps what it is given; `hold` makes the client slow, `broken` makes it gone."""

    def __init__(self) -> None:
        self.started = False
        self.ended = False
        self.headers: Headers = []
        self.written: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken = False
        self.changed = asyncio.Event()

    async def start(self, status: int, headers: Headers) -> None:
        """See `Out`."""
        self.started = True
        self.headers = headers

    async def write(self, data: bytes) -> None:
        """See `Out`."""
        await self.open.wait()
        if self.broken:
            raise ClientLeft("The client is gone.")
        self.written.append(data)
        self.changed.set()

    async def end(self, data: bytes = b"") -> None:
        """See `Out`."""
        await self.open.wait()
        self.written.append(data)
        self.ended = True


def stream(
    out: Recorder,
    background: TaskBackground,
    silence_s: float = NEVER_S,
    on_stalled: Callable[[], None] = lambda: None,
) -> EventStream:
    """A stream to `out`."""
    return EventStream(out, background, lambda: [(b"x-own", b"1")], on_stalled, silence_s)


async def test_nothing_is_committed_before_the_first_write() -> None:
    """Until there is something to say, a failure can still be a status."""
    out = Recorder()
    client = stream(out, TaskBackground())
    assert out.headers == []
    await client.write(b"data: 1\n\n")
    assert client.started
    assert dict(out.headers)[b"content-type"].startswith(b"text/event-stream")
    assert dict(out.headers)[b"x-own"] == b"1"
    client.stop()


async def test_keep_alive_breaks_a_silence() -> None:
    """A comment goes out after each silence, commits the headers if nothing has, and stops with the stream."""
    out, background = Recorder(), TaskBackground()
    client = stream(out, background, silence_s=0.001)
    for _ in range(2):
        await out.changed.wait()
        out.changed.clear()
    assert out.started
    assert set(out.written) == {KEEP_ALIVE}
    await client.end(b"data: [DONE]\n\n")
    count = len(out.written)
    await asyncio.sleep(0.01)
    await background.drain(1)
    assert len(out.written) == count
    assert out.ended


async def test_keep_alive_waits_for_no_slow_client() -> None:
    """While a write waits for the client, no comments pile up behind it."""
    out, background = Recorder(), TaskBackground()
    client = stream(out, background, silence_s=0.001)
    out.open.clear()
    writing = asyncio.create_task(client.write(b"data: 1\n\n"))
    await asyncio.sleep(0.02)
    assert await background.drain(0) == 0
    out.open.set()
    await writing
    await client.end()
    assert out.written[0] == b"data: 1\n\n"


async def test_keep_alive_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A client that has gone does not make the sign of life a failure of its own."""
    out, background = Recorder(), TaskBackground()
    out.broken = True
    client = stream(out, background, silence_s=0.001)
    await asyncio.sleep(0.01)
    assert await background.drain(1) == 0
    assert out.written == []
    assert caplog.records == []
    client.stop()


@pytest.mark.parametrize("last", [False, True], ids=["write", "end"])
async def test_stalled_client(monkeypatch: pytest.MonkeyPatch, *, last: bool) -> None:
    """A client that takes nothing for long is told of, whether more is to come or not; one that is only slow is not."""
    out, stalled = Recorder(), asyncio.Event()
    client = stream(out, TaskBackground(), silence_s=0.001, on_stalled=stalled.set)
    out.open.clear()
    writing = asyncio.create_task(client.end(b"1") if last else client.write(b"1"))
    await asyncio.sleep(0.01)
    assert not stalled.is_set()
    monkeypatch.setattr(delivery, "STALLED_S", 0.005)
    await asyncio.wait_for(stalled.wait(), 5)
    out.open.set()
    await writing
    client.stop()


async def test_stalled_before_anything_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign of life that nobody takes is given up as well, and nothing is left behind."""
    monkeypatch.setattr(delivery, "STALLED_S", 0.005)
    out, background, stalled = Recorder(), TaskBackground(), asyncio.Event()
    out.open.clear()
    client = stream(out, background, silence_s=0.001, on_stalled=stalled.set)
    await asyncio.wait_for(stalled.wait(), 5)
    client.stop()
    assert await background.drain(1) == 0


async def test_failure_is_an_event() -> None:
    """A stream that has begun ends with the error's envelope, and without `[DONE]`."""
    out = Recorder()
    client = stream(out, TaskBackground())
    await client.write(b"data: 1\n\n")
    await client.fail(UpstreamBroken("It broke."))
    assert out.ended
    assert out.written[-1] == (
        b'data: {"error":{"message":"It broke.","type":"server_error","param":null,"code":"provider_error"}}\n\n'
    )


async def test_failure_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has stopped reading is not told for long why its stream ends: the platform may end first."""
    monkeypatch.setattr(delivery, "FAREWELL_S", 0.001)
    out = Recorder()
    client = stream(out, TaskBackground())
    await client.write(b"data: 1\n\n")
    out.open.clear()
    await client.fail(UpstreamBroken("It broke."))
    assert not out.ended


@pytest.mark.parametrize("last", [b"", b"data: 2\n\n"], ids=["nothing more", "with the last events"])
async def test_end(last: bytes) -> None:
    """The last events and the end are one write."""
    out = Recorder()
    client = stream(out, TaskBackground())
    await client.end(last)
    assert (out.written, out.ended, out.started) == ([last], True, True)
