"""`Background` as tasks of the running loop, drained by whoever is about to stop or freeze it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

LAST_S: Final = 3.0  # of the time for draining, for what is hurried: to settle, with a storage that is slow

_log = logging.getLogger("sluice.background")


class TaskBackground:
    """Starts work at once; `drain` waits until all of it is done."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], Callable[[], None] | None] = {}

    def run(self, work: Coroutine[Any, Any, None], *, hurry: Callable[[], None] | None = None) -> None:
        """See `Background.run`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = hurry
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background work failed", exc_info=error)

    async def drain(self, timeout_s: float) -> int:
        """Wait for all work, including what it starts in turn; how many are still running after `timeout_s`."""
        end = asyncio.get_running_loop().time() + timeout_s
        await self._wait(end - LAST_S)
        for hurry in [*self._tasks.values()]:
            if hurry is not None:
                hurry()
        await self._wait(end)
        return len(self._tasks)

    async def _wait(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        while self._tasks and (left := end - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
