"""`Database` on one SQLite file.

Two threads, each with a connection of its own: one writes, one reads, so that no look-up waits for a disk. Each takes
everything that is queued at that moment into one transaction: many requests share one commit, and one wake-up of
the event loop. The rules:

- A commit is on the disk before anybody hears of it (WAL, `synchronous=FULL`).
- Jobs are tried together without savepoints, because failures are rare. When one fails, the transaction is rolled back
  and each job runs again in a transaction of its own, so a failing job fails alone.
- Another process holding the file is waited for by asking every millisecond, for a second in all. SQLite's own busy
  handler sleeps up to 100 ms between two looks, and starves beside writers that commit back to back.
- A job belongs to the thread once it is queued: neither a cancelled caller nor a closed event loop stops it.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from common.adapters.sql.database import Rows, Statement
from common.adapters.sql.migrations import NewerSchema, migrate, migrations
from common.model.errors import StorageUnavailable

_BUSY_FOR_S: Final = 1.0  # what a store may take for its retries
_BUSY_POLL_S: Final = 0.001

_T = TypeVar("_T")


class Unwritten(Protocol):
    """What jobs of one transaction have changed and will write together."""

    def write(self) -> None:
        """Write it; it is not used any more."""


class Transaction:
    """What a job sees of the transaction that it shares with others."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute
        self.unwritten: dict[type, Unwritten] = {}

    def flush(self) -> None:
        """Write what is unwritten: before statements that may read it, and at the end."""
        for each in self.unwritten.values():
            each.write()
        self.unwritten.clear()


_Work: TypeAlias = Callable[[Transaction], Any]
_Done: TypeAlias = tuple["_Job", Any]  # the result, or an exception


@dataclass(eq=False, slots=True)
class _Job:
    """What is to be done, and who waits for it."""

    work: _Work
    caller: asyncio.Future[Any]


class _Worker:
    """A thread that runs jobs in transactions opened by `begin`, and owns its connection."""

    def __init__(self, name: str, connection: sqlite3.Connection, begin: str) -> None:
        self._connection = connection
        self._begin = begin
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # a process that ends without `stop` must not wait for the thread
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, job: _Job) -> None:
        """Queue a job; from here on it runs, whatever becomes of its caller."""
        self._jobs.put(job)

    async def stop(self) -> None:
        """Run what is queued, close the connection, end the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        last = False
        while not last:
            taken = [self._jobs.get()]
            while not self._jobs.empty():
                taken.append(self._jobs.get())
            last = None in taken
            jobs = [job for job in taken if job is not None]
            _deliver(jobs, self._run_together(jobs))
        self._connection.close()

    def _run_together(self, jobs: list[_Job]) -> list[Any]:
        try:
            return _while_busy(lambda: self._transaction(jobs))
        except Exception as error:  # noqa: BLE001 - the thread has to survive every statement, and tells its caller
            if len(jobs) == 1 or _is_busy(error):
                return [_failure(error) for _ in jobs]
        return [result for job in jobs for result in self._run_together([job])]

    def _transaction(self, jobs: list[_Job]) -> list[Any]:
        self._connection.execute(self._begin)
        try:
            transaction = Transaction(self._connection)
            results = [job.work(transaction) for job in jobs]
            transaction.flush()
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.rollback()  # does nothing where SQLite already has, on a full disk for one
            raise
        return results


def _run_batch(statements: tuple[Statement, ...], transaction: Transaction) -> list[Rows]:
    transaction.flush()
    return [transaction.execute(statement.sql, statement.parameters).fetchall() for statement in statements]


def _deliver(jobs: list[_Job], results: list[Any]) -> None:
    """Wake each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Done]] = {}
    for job, result in zip(jobs, results, strict=True):
        by_loop.setdefault(job.caller.get_loop(), []).append((job, result))
    for loop, done in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear
            loop.call_soon_threadsafe(_resolve, done)


def _resolve(done: list[_Done]) -> None:
    for job, result in done:
        if job.caller.done():
            continue  # cancelled
        if isinstance(result, Exception):
            job.caller.set_exception(result)
        else:
            job.caller.set_result(result)


class SqliteDatabase:
    """A `Database`. Make it with `open_sqlite`; both connections lead to one migrated file, and are its own now."""

    def __init__(self, writing: sqlite3.Connection, reading: sqlite3.Connection) -> None:
        self._writer = _Worker("sluice-sqlite-writer", writing, "BEGIN IMMEDIATE")
        self._reader = _Worker("sluice-sqlite-reader", reading, "BEGIN")
        self._closed = False

    async def run(self, *statements: Statement) -> Sequence[Rows]:
        """See `Database.run`."""
        reads = all(statement.sql.startswith("SELECT") for statement in statements)
        results: list[Rows] = await self._do(
            partial(_run_batch, statements), self._reader if reads else self._writer
        )
        return results

    async def write(self, work: Callable[[Transaction], _T]) -> _T:
        """Do `work` in a transaction of the writer's thread, atomically. It may be done twice: only once it counts.

        Promises and failures are those of `Database.run`.
        """
        result: _T = await self._do(work, self._writer)
        return result

    def _do(self, work: _Work, worker: _Worker) -> asyncio.Future[Any]:
        if self._closed:
            raise StorageUnavailable("The database is closed.")
        job = _Job(work, asyncio.get_running_loop().create_future())
        worker.put(job)
        return job.caller

    async def close(self) -> None:
        """Finish what is queued, then let go of the file."""
        self._closed = True
        await self._reader.stop()
        await self._writer.stop()


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncIterator[SqliteDatabase]:
    """The database at `path`, made and migrated where it has to be; its folder too, readable by its owner alone.

    Raises:
        StorageUnavailable: with one line that says what to do.
    """
    try:
        database = SqliteDatabase(*_connect_twice(path))
    except (OSError, sqlite3.Error, NewerSchema) as error:
        raise StorageUnavailable(_advice(path, error)) from error
    try:
        yield database
    finally:
        await database.close()


def _connect_twice(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as opened:
        first = opened.enter_context(closing(_connect(path)))
        _while_busy(lambda: migrate(first, migrations()))
        second = opened.enter_context(closing(_connect(path)))
        opened.pop_all()
    return first, second


def _connect(path: Path) -> sqlite3.Connection:
    # without a time-out of SQLite's, without Python's own transactions, for the thread that it is handed to
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    with ExitStack() as opened:
        opened.enter_context(closing(connection))
        _while_busy(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        connection.execute("PRAGMA synchronous = FULL")
        opened.pop_all()
    return connection


def _while_busy(do: Callable[[], _T]) -> _T:
    """Do it, again and again while another process is in the way."""
    give_up = time.monotonic() + _BUSY_FOR_S
    while True:
        try:
            return do()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > give_up:
                raise
        time.sleep(_BUSY_POLL_S)


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 where it has none to tell (https://sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_busy(error: Exception) -> bool:
    return _code(error) == sqlite3.SQLITE_BUSY


def _failure(error: Exception) -> Exception:
    """What the caller gets; a value that cannot be bound is the caller's own error."""
    if not isinstance(error, sqlite3.Error):
        return error
    busy = "Another process holds the database." if _is_busy(error) else "The database failed."
    failure = StorageUnavailable(busy)
    failure.__cause__ = error
    return failure


def _advice(path: Path, error: Exception) -> str:
    """What went wrong in opening, and what to do about it, in one line."""
    if isinstance(error, NewerSchema):
        return (
            f"{path} was migrated by a newer Sluice (schema {error.found}, this one knows {error.known}): "
            "install that version, or choose another folder."
        )
    match _code(error):
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return f"{path} is not a database, or is damaged: restore it, move it away, or choose another folder."
        case sqlite3.SQLITE_BUSY:
            return f"{path} is held by another process: end that one, or choose another folder."
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return f"{path} cannot be written: make it and its folder writable, or choose another folder."
        case _:
            pass
    if isinstance(error, OSError):
        return f"{path.parent} cannot be used as a folder ({error.strerror}): choose another one."
    return f"{path} cannot be used ({error}): move it away, or choose another folder."
