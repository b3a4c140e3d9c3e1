"""A bound on how long something may take, as `asyncio.timeout` sets it, for a seventh of its time.

It is entered and left without awaiting, and where there is no limit it does nothing.
"""

import asyncio
from types import TracebackType
from typing import Self


class TimeLimit:
    """A synchronous context manager: `TimeoutError` where the block takes too long. It is cancelled by then.

    Whoever cancels the task besides is heard first: such a cancellation passes through.
    """

    __slots__ = ("_cancelled_before", "_seconds", "_task", "_timer", "expired")

    def __init__(self, seconds: float | None) -> None:
        """None: without a limit."""
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelled_before = 0
        self.expired = False

    def __enter__(self) -> Self:
        if self._seconds is not None:
            loop = asyncio.get_running_loop()
            task = self._task = asyncio.current_task(loop)
            self._cancelled_before = 0 if task is None else task.cancelling()
            self._timer = loop.call_later(self._seconds, self._expire)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.lift()
        if not self.expired or self._task is None:
            return
        others = self._task.uncancel() - self._cancelled_before
        if others <= 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def lift(self) -> None:
        """No limit any more. One that has expired stays so: the block is left at its next await."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self.expired = True
        if self._task is not None:
            self._task.cancel()
