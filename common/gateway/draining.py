"""Answers that are read to their end though their client has left, where only the end tells what they cost.

The exchange with such a provider runs in `Background` from its beginning: what a request's task awaits itself ends with
that task. While the client is there, the task waits for it. When the client leaves, the task ends at once, what is
still written for the client is dropped, and the request is settled when the exchange has ended.

It is cut by the least of: `LONGEST_S` after the leaving, `MAX_DROPPED_BYTES`, the output maximum (`relay.py`), the
platform's deadline, and the end of whatever the process has left for its background. What is settled then is what is
settled of any answer that broke off.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from common.gateway.context import RequestContext
from common.gateway.delivery import Headers, Out
from common.gateway.interrupt import DEADLINE_MARGIN_S
from common.model.errors import ClientLeft
from common.ports import Clock

LONGEST_S: Final = 60.0
MAX_DROPPED_BYTES: Final = 32 * 2**20

Work = Coroutine[Any, Any, None]


class Draining:
    """Carries the exchanges of one request, one after the other."""

    def __init__(self, out: Out, context: RequestContext, clock: Clock) -> None:
        """`out`: the client's; exchanges that are carried write to `self.out`."""
        self.out = LeavableOut(out)
        self._context = context
        self._clock = clock
        self._carrier: asyncio.Task[None] | None = None  # where an exchange is under way
        self._released: asyncio.Future[None] | None = None  # what the request's task waits for
        self._timer: asyncio.TimerHandle | None = None
        self._afterwards: Callable[[], Work] | None = None

    async def carry(self, exchange: Callable[[], Work]) -> None:
        """Wait for `exchange`, unless the client leaves: then it goes on by itself."""
        released = self._released = asyncio.get_running_loop().create_future()
        self.out.on_left = self._left
        self._context.background.run(self._carry(exchange), hurry=self._cut)
        try:
            await released
        except asyncio.CancelledError:
            if released.done() and not released.cancelled():
                released.exception()  # both came at once: it is told by the cancellation
            if self._context.gone.is_set():
                self.out.leave()
            else:
                self._cut()
            raise

    def goes_on(self, afterwards: Callable[[], Work]) -> bool:
        """Whether an exchange is still under way; then `afterwards` is done at its end."""
        if self._carrier is None:
            return False
        self._afterwards = afterwards
        return True

    async def _carry(self, exchange: Callable[[], Work]) -> None:
        task = self._carrier = asyncio.current_task()
        error: BaseException | None = None
        try:
            await exchange()
        except asyncio.CancelledError as cut:
            error = cut
            if task is not None:
                task.uncancel()
        except Exception as failed:  # noqa: BLE001 - it is told to who waits for it
            error = failed
        self._carrier = self.out.on_left = None
        if self._timer is not None:
            self._timer.cancel()
        self._release(error)
        if self._afterwards is not None:
            await self._afterwards()

    def _left(self) -> None:
        """The client has. The exchange goes on, for some time."""
        self._release(ClientLeft("The client closed the connection."))
        left_s = LONGEST_S
        if self._context.deadline_ms is not None:
            until_deadline_s = (self._context.deadline_ms - self._clock.now_ms()) / 1000 - DEADLINE_MARGIN_S
            left_s = max(0.0, min(left_s, until_deadline_s))
        self._timer = asyncio.get_running_loop().call_later(left_s, self._cut)

    def _cut(self) -> None:
        if self._carrier is not None:
            self._carrier.cancel()

    def _release(self, error: BaseException | None) -> None:
        if self._released is None or self._released.done():
            return
        if error is None:
            self._released.set_result(None)
        elif isinstance(error, asyncio.CancelledError):
            self._released.cancel()
        else:
            self._released.set_exception(error)


class LeavableOut:
    """An `Out` whose client may leave while somebody writes to it. From then on what is written is dropped."""

    __slots__ = ("_dropped", "_gone", "_out", "_writer", "on_left")

    def __init__(self, out: Out) -> None:
        self.on_left: Callable[[], None] | None = None  # None: whoever writes is told by `ClientLeft`
        self._out = out
        self._gone = False
        self._dropped = 0  # bytes
        self._writer: asyncio.Task[Any] | None = None

    @property
    def started(self) -> bool:
        """See `Out.started`."""
        return self._gone or self._out.started

    def leave(self) -> None:
        """The client has left. A write that waits for it is over."""
        if self._gone or self.on_left is None:
            return
        self._gone = True
        if self._writer is not None:
            self._writer.cancel()
        self.on_left()

    async def start(self, status: int, headers: Headers) -> None:
        """See `Out.start`."""
        await self._send(self._out.start(status, headers), 0)

    async def write(self, data: bytes) -> None:
        """See `Out.write`."""
        await self._send(self._out.write(data), len(data))

    async def end(self, data: bytes = b"") -> None:
        """See `Out.end`."""
        await self._send(self._out.end(data), len(data))

    async def _send(self, sending: Work, size: int) -> None:
        if not self._gone:
            return await self._pass_on(sending)
        sending.close()
        self._dropped += size
        if self._dropped > MAX_DROPPED_BYTES:
            raise ClientLeft("Too much came after the client had left.")
        return None

    async def _pass_on(self, sending: Work) -> None:
        writer = self._writer = asyncio.current_task()
        try:
            await sending
        except ClientLeft:
            self._writer = None
            if self.on_left is None:
                raise
            self.leave()
        except asyncio.CancelledError:
            if not self._gone or (writer is not None and writer.uncancel()):
                raise  # it is not this write alone that is over
        finally:
            self._writer = None
