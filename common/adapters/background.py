"""`Background` as tasks of the running loop, drained by whoever is about to stop or freeze it."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger("sluice.background")


class TaskBackground:
    """Starts work at once; `drain` waits until all of it is done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Background.run`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background work failed", exc_info=error)

    async def drain(self, timeout_s: float) -> int:
        """Wait for all work, including what it starts in turn; how many are still running after `timeout_s`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self._tasks and (left := end - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        return len(self._tasks)
