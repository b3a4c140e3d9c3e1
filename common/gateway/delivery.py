"""The client's side of one answer: `Out`, which each target's HTTP side fulfils, and event streams on top of it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from common.model.errors import ClientLeft
from common.ports import Background
from common.wire.openai.errors import envelope_of
from common.wire.sse import KEEP_ALIVE, frame

STALLED_S: Final = 60.0  # of a client that takes nothing: it is there, and might as well not be
FAREWELL_S: Final = 1.0  # for the last words to a client; less than a deadline leaves for them

Headers = list[tuple[bytes, bytes]]
_EVENT_STREAM: Final[Headers] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]


class Out(Protocol):
    """Where an answer goes. Each may wait for a slow client; `ClientLeft` where there is nobody."""

    @property
    def started(self) -> bool:
        """Whether status and headers are committed."""

    async def start(self, status: int, headers: Headers) -> None:
        """Commit status and headers."""

    async def write(self, data: bytes) -> None:
        """Send some of the body."""

    async def end(self, data: bytes = b"") -> None:
        """Send the last of the body."""


class EventStream:
    """A streamed answer. Nothing is committed before the first write, or the first sign of life in a long silence."""

    __slots__ = (
        "_background",
        "_ended",
        "_headers",
        "_last",
        "_lock",
        "_loop",
        "_on_stalled",
        "_out",
        "_silence_s",
        "_timer",
    )

    def __init__(
        self,
        out: Out,
        background: Background,
        headers: Callable[[], Headers],
        on_stalled: Callable[[], None],
        silence_s: float,
    ) -> None:
        """`headers`: asked when they are committed, for those of ours that come on top.

        `on_stalled`: told when the client has taken nothing for `STALLED_S` and more is waiting for it.
        """
        self._out = out
        self._background = background
        self._headers = headers
        self._on_stalled = on_stalled
        self._silence_s = silence_s
        self._lock = asyncio.Lock()
        self._ended = False
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(silence_s, self._look)

    @property
    def started(self) -> bool:
        """Whether the client has seen anything."""
        return self._out.started

    async def write(self, data: bytes) -> None:
        """Send whole events."""
        await self._lock.acquire()  # `async with` takes twice as long
        try:
            if not self._out.started:
                await self._start()
            self._last = self._loop.time()
            await self._out.write(data)
        finally:
            self._lock.release()

    async def end(self, data: bytes = b"") -> None:
        """Send the last of them."""
        self._ended = True
        async with self._lock:
            if not self._out.started:
                await self._start()
            self._last = self._loop.time()
            await self._out.end(data)
        self.stop()

    async def fail(self, error: Exception) -> None:
        """End a stream that has begun: an error event, and no `[DONE]`. Whoever does not read is not waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self.end(frame(envelope_of(error)))

    def stop(self) -> None:
        """No more signs of life."""
        self._ended = True
        self._timer.cancel()

    async def _start(self) -> None:
        await self._out.start(200, _EVENT_STREAM + self._headers())

    def _look(self) -> None:
        """A timer for each stream, not for each event: it looks when the last event was, and comes again."""
        now = self._loop.time()
        left = self._last + self._silence_s - now
        if left <= 0:
            if not self._lock.locked():
                self._background.run(self._keep_alive())
            elif now - self._last > STALLED_S:  # a client that is merely slow is not in want of more
                self._on_stalled()
                return
            left = self._silence_s
        self._timer = self._loop.call_later(left, self._look)

    async def _keep_alive(self) -> None:
        async with self._lock:
            if self._ended:
                return
            try:
                async with asyncio.timeout(STALLED_S):
                    if not self._out.started:
                        await self._start()
                    await self._out.write(KEEP_ALIVE)
            except ClientLeft:
                self.stop()  # the answer itself will find out
            except TimeoutError:
                self._on_stalled()
