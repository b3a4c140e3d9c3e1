"""`DeadLetters` in a file: one record to a line, each on the disk before anybody hears of it.

Whoever takes the letters renames the file first, so that those which come meanwhile start another. A process that ends
before it has dealt with all leaves the renamed file, and the next one begins with that.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from common.model.usage import UsageRecord
from common.wire.usage_json import record_from_json, record_to_json

_log = logging.getLogger("sluice.dead_letters")


class FileDeadLetters:
    """Letters in the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken = path.with_suffix(path.suffix + ".taken")
        self._lock = asyncio.Lock()

    async def put(self, record: UsageRecord) -> None:
        """See `DeadLetters.put`. Where the disk fails too, the log line is what remains."""
        line = record_to_json(record)
        async with self._lock:
            try:
                await asyncio.to_thread(self._append, line)
            except OSError:
                _log.exception("a usage record could not be kept: %s", line)

    def _append(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())

    async def deliver(self, settle: Callable[[UsageRecord], Awaitable[None]]) -> tuple[int, int]:
        """Hand each letter to `settle`, which raises where it can't take it: how many were taken, and how many not."""
        taken, left = 0, []
        for line in await asyncio.to_thread(self._take):
            try:
                await settle(record_from_json(line))
                taken += 1
            except Exception:  # noqa: BLE001 - whatever it is, the letter is kept
                _log.exception("a usage record is still not taken: %s", line)
                left.append(line)
        async with self._lock:
            for line in left:
                await asyncio.to_thread(self._append, line)
            await asyncio.to_thread(self._taken.unlink, missing_ok=True)
        return taken, len(left)

    def _take(self) -> list[str]:
        if not self._taken.exists():
            if not self._path.exists():
                return []
            self._path.rename(self._taken)
        return [line for line in self._taken.read_text().splitlines() if line]
