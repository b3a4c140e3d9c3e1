"""What `SqliteRows` adds to the contract of `Rows`: many plans share one transaction, and each its fate."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.adapters.sql.database import Statement
from common.adapters.sql.sqlite import SqliteDatabase, open_sqlite
from common.adapters.sql.sqlite_rows import SqliteRows
from common.metering.plan import Plan
from common.metering.rows import Change, Outcome, Records
from common.model.usage import Provisional
from tests.contract.plans import request_id, usage
from tests.support.metered import MIDNIGHT

ONE_MORE = Plan(at_most={"in_flight": 9}, add={"in_flight": 1})
NO_RECORDS = Records()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is to be."""
    return tmp_path / "sluice.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    """A new file."""
    async with open_sqlite(path) as opened:
        yield opened


@pytest.fixture
def rows(database: SqliteDatabase) -> SqliteRows:
    """Without a row."""
    return SqliteRows(database)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process is in the middle of a transaction: what is asked meanwhile shares the next one."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


async def at_once(path: Path, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """What becomes of calls that end up in one transaction."""
    with held(path):
        tasks = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def in_flight(rows: SqliteRows, row: str = "key:1") -> int:
    """As the file has it."""
    (standing,) = await rows.read([row])
    return standing.counts["in_flight"]


async def test_written_once(path: Path, database: SqliteDatabase, rows: SqliteRows) -> None:
    """Fifty plans for two rows are applied one after the other, and each row is read and written once or twice."""
    asked: list[str] = []
    database._writer._connection.set_trace_callback(asked.append)
    both = [Change("key:1", ONE_MORE), Change("user:1", ONE_MORE)]
    outcomes = await at_once(path, *(rows.apply(both, NO_RECORDS) for _ in range(50)))
    assert [outcome.applied for outcome in outcomes] == [True] * 10 + [False] * 40
    assert [each.standings[0].counts["in_flight"] for each in outcomes] == [*range(1, 11), *[10] * 40]
    assert await in_flight(rows) == await in_flight(rows, "user:1") == 10
    of_rows = [statement for statement in asked if " meter " in statement]
    assert len(of_rows) <= 8


async def test_statements_between_plans(path: Path, database: SqliteDatabase, rows: SqliteRows) -> None:
    """A statement sees the plans before it, and the plans after it see what it wrote."""
    double = Statement("UPDATE meter SET in_flight = in_flight * 2")
    change = [Change("key:1", ONE_MORE)]
    await at_once(
        path,
        rows.apply(change, NO_RECORDS),
        rows.apply(change, NO_RECORDS),
        database.run(double),
        rows.apply(change, NO_RECORDS),
    )
    assert await in_flight(rows) == 5


async def test_failing_job_fails_alone(path: Path, database: SqliteDatabase, rows: SqliteRows) -> None:
    """A record that cannot be written takes its own change with it, and no other."""
    change = [Change("key:1", ONE_MORE)]
    good = [Records(usage(nth)) for nth in range(3)]
    bad = Records(replace(usage(7), model="\udcff"))
    outcomes = await at_once(
        path,
        rows.apply(change, good[0]),
        rows.apply(change, bad),
        rows.apply(change, good[1]),
        database.run(Statement("no SQL")),
        rows.apply(change, good[2]),
    )
    assert [isinstance(outcome, Outcome) for outcome in outcomes] == [True, False, True, False, True]
    assert isinstance(outcomes[1], UnicodeEncodeError)
    assert await in_flight(rows) == 3
    assert await rows.find(usage(7).request_id) is None
    assert all([await rows.find(usage(nth).request_id) for nth in range(3)])


async def test_two_that_settle_one_request(path: Path, rows: SqliteRows) -> None:
    """M3, M4: within one transaction too, an abandoned record is corrected once."""
    id_ = request_id(MIDNIGHT, 0)
    await rows.apply([Change("key:1", ONE_MORE)], Records(abandoned=(usage(0, abandoned=True),)))
    change = [Change("key:1", Plan(holds={id_: None}, add={"committed_total": -1}))]
    late = [Records(usage(0, cost=cost), corrects=Provisional.ABANDONED) for cost in (1, 2)]
    outcomes = await at_once(path, *(rows.apply(change, records) for records in late))
    assert [outcome.applied for outcome in outcomes] == [True, False]
    assert await rows.find(id_) == usage(0, cost=1)
    (standing,) = await rows.read(["key:1"])
    assert standing.counts["committed_total"] == -1


async def test_cancelled_caller(path: Path, rows: SqliteRows) -> None:
    """A change whose caller is cancelled is made all the same; its neighbours hear of theirs."""
    change = [Change("key:1", ONE_MORE)]
    with held(path):
        cancelled, other = (asyncio.create_task(rows.apply(change, NO_RECORDS)) for _ in range(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
    assert (await other).standings[0].counts["in_flight"] == 2
