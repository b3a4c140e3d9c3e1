"""A bound on how long bodies may take, by one timer for all of them.

A timer for each, as `asyncio.timeout` sets it, takes a twentieth of a short request's CPU, and hardly one ever rings.
Where requests may share nothing that waits, as on Workers, each has its own all the same: a timer there ends with the
request that set it, and those which count on it would wait without a bound.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

_T = TypeVar("_T")


class Patience:
    """Waits for many at once, for each no longer than `limit_s`."""

    limit_s = 120.0  # 20 MB over a slow line

    def __init__(self) -> None:
        self._until: dict[asyncio.Task[Any], float] = {}  # by the loop's time; the oldest comes first
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, awaited: Awaitable[_T]) -> _T:
        """What is awaited; `TimeoutError` where it takes too long. It is cancelled by then."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._until[task] = loop.time() + self.limit_s
        if self._timer is None:
            self._timer = loop.call_later(self.limit_s, self._look, loop)
        try:
            return await awaited
        except asyncio.CancelledError:
            if task not in self._until and not task.uncancel():
                raise TimeoutError from None
            raise  # somebody else did it
        finally:
            self._until.pop(task, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what has taken too long, and come again for the oldest of the rest."""
        self._timer = None
        for task, until in list(self._until.items()):
            left_s = until - loop.time()
            if left_s > 0:
                self._timer = loop.call_later(left_s, self._look, loop)
                return
            del self._until[task]
            task.cancel()


class PatienceOfEach(Patience):
    """The same by a timer for each."""

    async def wait(self, awaited: Awaitable[_T]) -> _T:
        """See `Patience.wait`."""
        async with asyncio.timeout(self.limit_s):
            return await awaited
