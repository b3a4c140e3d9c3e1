"""What `SqliteDatabase` adds to the contract of `Database`: shared commits, crashes, processes, cancelled callers."""

import asyncio
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.adapters.sql import sqlite
from common.adapters.sql.database import Statement
from common.adapters.sql.sqlite import SqliteDatabase, open_sqlite
from common.model.errors import StorageUnavailable

NOTES = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID"
ALL = "SELECT id FROM notes ORDER BY id"
WRITER_PROCESS = """
import asyncio, sys
from pathlib import Path
from common.adapters.sql.database import Statement
from common.adapters.sql.sqlite import open_sqlite

async def main(path, prefix, count):
    async with open_sqlite(path) as database:
        for start in range(0, count, 5):
            names = (f"{prefix}{number}" for number in range(start, start + 5))
            await asyncio.gather(*(database.run(note(name)) for name in names))
        print("written", flush=True)
        sys.stdin.read()

def note(name):
    return Statement("INSERT INTO notes VALUES (?1)", (name,))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


def note(name: str) -> Statement:
    """Writes a row; fails where there is such a row."""
    return Statement("INSERT INTO notes VALUES (?1)", (name,))


def notes(path: Path) -> list[str]:
    """The rows, as another process would find them."""
    connection = sqlite3.connect(path)
    try:
        return [name for (name,) in connection.execute(ALL)]
    finally:
        connection.close()


def commits(path: Path) -> int:
    """How many transactions the log holds: a frame that ends one tells the size of the database, others tell 0.

    Layout: https://sqlite.org/fileformat2.html#the_write_ahead_log
    """
    log = path.with_name(f"{path.name}-wal").read_bytes()
    page_size, _, salt = struct.unpack(">II8s", log[8:24])
    frames = (log[start : start + 24] for start in range(32, len(log), 24 + page_size))
    return sum(frame[8:16] == salt and frame[4:8] != bytes(4) for frame in frames)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process is in the middle of a transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def start_writer(path: Path, prefix: str, count: int) -> subprocess.Popen[str]:
    """A process that writes notes, says so, and waits until its input ends."""
    command = [sys.executable, "-c", WRITER_PROCESS, str(path), prefix, str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def queued(database: SqliteDatabase, *batches: tuple[Statement, ...]) -> list[asyncio.Task[object]]:
    """Calls that have been made and not been answered."""
    calls = [asyncio.create_task(_run(database, batch)) for batch in batches]
    await asyncio.sleep(0)
    return calls


async def _run(database: SqliteDatabase, batch: tuple[Statement, ...]) -> object:
    return await database.run(*batch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is to be."""
    return tmp_path / "sluice.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    """With a table of notes."""
    async with open_sqlite(path) as opened:
        await opened.run(Statement(NOTES))
        yield opened


async def test_one_commit_for_many(database: SqliteDatabase, path: Path) -> None:
    """What is queued while a commit is under way shares the next one: 64 writes at once take two at most."""
    before = commits(path)
    with held(path):
        calls = await queued(database, *((note(f"{number:02}"),) for number in range(64)))
    await asyncio.gather(*calls)
    assert len(notes(path)) == 64
    assert 1 <= commits(path) - before <= 2


async def test_one_wake_up_for_many(database: SqliteDatabase, path: Path) -> None:
    """The event loop is woken once for a transaction, not once for each caller."""
    loop = asyncio.get_running_loop()
    wake_ups = 0
    wake_up = loop.call_soon_threadsafe

    def count(*args: object) -> asyncio.Handle:
        nonlocal wake_ups
        wake_ups += 1
        return wake_up(*args)  # type: ignore[arg-type] # handed through

    loop.call_soon_threadsafe = count  # type: ignore[assignment,method-assign] # the loop belongs to this test
    with held(path):
        calls = await queued(database, *((note(f"{number:02}"),) for number in range(64)))
    await asyncio.gather(*calls)
    assert 1 <= wake_ups <= 2


async def test_failing_job_fails_alone(database: SqliteDatabase, path: Path) -> None:
    """In a shared transaction, a batch that fails takes nobody with it and leaves nothing of itself."""
    await database.run(note("taken"))
    with held(path):
        calls = await queued(
            database,
            (note("a"),),
            (note("half"), note("taken")),
            (note("b"), note("c")),
            (Statement("no SQL"),),
            (note("\udcff"),),
            (note("d"),),
        )
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    failures = [type(outcome) if isinstance(outcome, Exception) else None for outcome in outcomes]
    assert failures == [None, StorageUnavailable, None, StorageUnavailable, UnicodeEncodeError, None]
    assert notes(path) == ["a", "b", "c", "d", "taken"]


async def test_failure_names_its_cause(database: SqliteDatabase) -> None:
    """The engine's own words are the cause, for the log; the message, which a client may see, has none of them."""
    await database.run(note("taken"))
    with pytest.raises(StorageUnavailable) as caught:
        await database.run(note("taken"))
    assert "notes" in str(caught.value.__cause__)
    assert "notes" not in caught.value.message


async def test_reads_pass_a_held_file(database: SqliteDatabase, path: Path) -> None:
    """A look-up waits for no writer, of this process or another."""
    await database.run(note("a"))
    with held(path):
        calls = await queued(database, (note("b"),))
        (rows,) = await database.run(Statement(ALL))
        assert not calls[0].done()
    await asyncio.gather(*calls)
    assert list(rows) == [("a",)]


async def test_reads_see_what_was_acknowledged(database: SqliteDatabase) -> None:
    """Whoever was told of a write finds it in the next read."""
    for number in range(50):
        await database.run(note(f"{number:02}"))
        (rows,) = await database.run(Statement(ALL))
        assert len(rows) == number + 1


async def test_held_too_long(database: SqliteDatabase, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that stays held is a `StorageUnavailable` for all that wait; they have written nothing, and it passes."""
    monkeypatch.setattr(sqlite, "_BUSY_FOR_S", 0.05)
    with held(path):
        calls = await queued(database, (note("a"),), (note("b"),))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 2
    await database.run(note("c"))
    assert notes(path) == ["c"]


async def test_cancelled_caller(database: SqliteDatabase, path: Path) -> None:
    """A write whose caller is cancelled is written all the same; its neighbours hear of theirs."""
    with held(path):
        cancelled, other = await queued(database, (note("a"),), (note("b"),))
        cancelled.cancel()
        await asyncio.wait([cancelled])
    await other
    assert cancelled.cancelled()
    assert notes(path) == ["a", "b"]


def test_closed_event_loop(path: Path) -> None:
    """A write whose event loop is gone is written all the same, and another loop goes on with the database."""
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    opening = open_sqlite(path)
    database = first.run_until_complete(opening.__aenter__())
    first.run_until_complete(database.run(Statement(NOTES)))
    with held(path):
        (call,) = first.run_until_complete(queued(database, (note("a"),)))
        call.cancel()
        first.run_until_complete(asyncio.wait([call]))
        first.close()
    second.run_until_complete(database.run(note("b")))
    second.run_until_complete(opening.__aexit__(None, None, None))
    second.close()
    assert notes(path) == ["a", "b"]


async def test_closing_finishes_what_is_queued(path: Path) -> None:
    """Closing waits for every write that was asked for; then the threads are gone and the log is folded in."""
    async with open_sqlite(path) as database:
        await database.run(Statement(NOTES))
        with held(path):
            calls = await queued(database, *((note(f"{number:02}"),) for number in range(20)))
            closing = asyncio.create_task(database.close())
            await asyncio.sleep(0)
        await closing
        assert len(await asyncio.gather(*calls)) == 20
    assert len(notes(path)) == 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sluice-sqlite")]
    assert [file.name for file in path.parent.iterdir()] == ["sluice.db"]


async def test_closed(path: Path) -> None:
    """A database that is closed says so."""
    async with open_sqlite(path) as database:
        pass
    with pytest.raises(StorageUnavailable, match="closed"):
        await database.run(note("a"))


def test_killed_after_an_acknowledgement(path: Path) -> None:
    """What was acknowledged is there after the process was killed."""
    _make(path)
    with start_writer(path, "n", 50) as process:
        assert process.stdout
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert len(notes(path)) == 50


def test_two_processes(path: Path) -> None:
    """Two processes write to one file at once, and nothing is lost or refused."""
    _make(path)
    processes = [start_writer(path, prefix, 200) for prefix in "ab"]
    outcomes = [process.communicate() for process in processes]
    assert [out for out, _ in outcomes] == ["written\n"] * 2
    assert len(notes(path)) == 400


def _make(path: Path) -> None:
    async def make() -> None:
        async with open_sqlite(path) as database:
            await database.run(Statement(NOTES))

    asyncio.run(make())
