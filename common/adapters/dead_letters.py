"""`DeadLetters` and their `LetterBox` in a file: one record to a line, each on the disk before anybody hears of it.

Whoever delivers the letters renames the file first, so that those which come meanwhile start another. A process that
ends before it has dealt with all leaves the renamed file, and the next one begins with that.

Several processes may write and deliver at once. Each file is locked by who uses it (`flock`, which ends with its
process): while a line is written, or all the time that letters are delivered. A lock is only good for the file that has
the name when the lock is there, so that is looked at then.
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

from common.model.errors import StorageContended, StorageUnavailable
from common.model.usage import UsageRecord
from common.wire.usage_json import record_from_json, record_to_json

GIVE_UP_AFTER: Final = 3  # letters in a row that the storage did not take: it is down, and the rest waits
_LOOK_AGAIN_S: Final = 0.002

_log = logging.getLogger("sluice.dead_letters")


class FileDeadLetters:
    """Letters in the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken = path.with_suffix(path.suffix + ".taken")

    async def put(self, record: UsageRecord) -> None:
        """See `DeadLetters.put`. Where the disk fails too, the log line is what remains."""
        line = record_to_json(record)
        try:
            await asyncio.to_thread(self._append, [line])
        except OSError:
            _log.exception("a usage record could not be kept: %s", line)

    async def deliver(self, settle: Callable[[UsageRecord], Awaitable[None]]) -> tuple[int, int]:
        """See `LetterBox.deliver`. While another process delivers, there are none."""
        file = await asyncio.to_thread(self._take)
        if file is None:
            return 0, 0
        with file:
            lines = [line for line in (await asyncio.to_thread(file.read)).splitlines() if line]
            left = await _hand_over(lines, settle)
            await asyncio.to_thread(self._append, left)
            await asyncio.to_thread(self._taken.unlink, missing_ok=True)
        return len(lines) - len(left), len(left)

    def _append(self, lines: list[str]) -> None:
        while lines:
            with self._path.open("a+") as file:
                if not _lock(file, self._path):
                    time.sleep(_LOOK_AGAIN_S)
                    continue
                torn = file.tell() > 0 and not _ends_a_line(file)
                file.write("".join(["\n" * torn, *(f"{line}\n" for line in lines)]))
                file.flush()
                os.fsync(file.fileno())
                return

    def _take(self) -> TextIO | None:
        """The letters to deliver, in a file that is ours; None: there are none, or another process has them."""
        while self._taken.exists() or self._path.exists():
            if file := _locked(self._taken):
                return file
            if self._taken.exists():
                return None
            if file := _locked(self._path):
                # only who has this lock renames, so it replaces nothing
                if not self._taken.exists():
                    self._path.rename(self._taken)
                    return file
                file.close()
            time.sleep(_LOOK_AGAIN_S)
        return None


async def _hand_over(lines: list[str], settle: Callable[[UsageRecord], Awaitable[None]]) -> list[str]:
    """Those that are not taken."""
    left: list[str] = []
    in_a_row = 0
    for number, line in enumerate(lines):
        try:
            await settle(record_from_json(line))
            in_a_row = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, the letter is kept
            _log.exception("a usage record is still not taken: %s", line)
            left.append(line)
            down = isinstance(error, StorageUnavailable) and not isinstance(error, StorageContended)
            in_a_row = in_a_row + 1 if down else 0
            if in_a_row == GIVE_UP_AFTER:
                return left + lines[number + 1 :]
    return left


def _locked(path: Path) -> TextIO | None:
    """The file, once it is ours; None: it is another's just now, or there is none."""
    with suppress(FileNotFoundError):
        file = path.open("r+")
        if _lock(file, path):
            return file
        file.close()
    return None


def _lock(file: TextIO, path: Path) -> bool:
    """Whether `file` is ours now, and still what `path` names."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _ends_a_line(file: TextIO) -> bool:
    """Whether the last line is whole. It is not where a process, or the disk's space, ended while it was written."""
    return os.pread(file.fileno(), 1, file.tell() - 1) == b"\n"
