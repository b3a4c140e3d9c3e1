"""What may end a call from outside while it waits: the client's leaving, the request's deadline, the platform's.

Works like `asyncio.timeout`: the waiting task is cancelled once, and on the way out the cancellation becomes the
error that says why. A cancellation by anybody else passes through untouched.
"""

import asyncio
from types import TracebackType
from typing import Final, Self

from common.gateway.context import RequestContext
from common.model.errors import ClientLeft, DeadlineExceeded, DeadlineNear, SluiceError
from common.ports import Clock

DEADLINE_MARGIN_S: Final = 2.0  # what it takes to tell the client, and to settle


class Interruptible:
    """A synchronous context manager: `ClientLeft`, `DeadlineExceeded` or `DeadlineNear` where that happened inside."""

    __slots__ = ("_armed", "_cause", "_clock", "_context", "_deadline", "_task", "_timer")

    def __init__(self, context: RequestContext, clock: Clock, deadline: float) -> None:
        """`deadline`: the request's own, by the monotonic clock."""
        self._context = context
        self._clock = clock
        self._deadline = deadline
        self._cause: SluiceError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = False

    def __enter__(self) -> Self:
        if self._context.gone.is_set():
            raise _left()
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        self._armed = True
        left_s, when_over = self._deadline - self._clock.monotonic(), self._too_late
        if (deadline_ms := self._context.deadline_ms) is not None:
            platforms_s = (deadline_ms - self._clock.now_ms()) / 1000 - DEADLINE_MARGIN_S
            if platforms_s < left_s:
                left_s, when_over = platforms_s, self._ending
        self._timer = loop.call_later(max(left_s, 0.0), when_over)
        self._context.gone.on_set(self._gone)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._armed = False
        if self._timer is not None:
            self._timer.cancel()
        if self._cause is None or self._task is None:
            return
        others = self._task.uncancel()
        if kind is not None and issubclass(kind, asyncio.CancelledError) and not others:
            cause, self._cause = self._cause, None
            # a frame that kept the exception would be kept by its traceback: garbage that only a collection ends
            try:
                raise cause from None
            finally:
                del cause

    def _gone(self) -> None:
        self._strike(_left())

    def _too_late(self) -> None:
        self._strike(DeadlineExceeded("No provider has answered within the request's deadline."))

    def _ending(self) -> None:
        self._strike(DeadlineNear("The answer took longer than the platform allows."))

    def _strike(self, cause: SluiceError) -> None:
        if self._armed and self._cause is None and self._task is not None:
            self._cause = cause
            self._task.cancel()


def _left() -> ClientLeft:
    return ClientLeft("The client closed the connection.")
