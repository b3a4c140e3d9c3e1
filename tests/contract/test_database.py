"""The contract of `Database`: what the SQL stores rely on, whatever the engine."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from common.adapters.sql.database import Database, Statement, Value
from common.model.errors import StorageUnavailable

LARGEST = 2**53 - 1
_INSERT = "INSERT INTO scratch (id, number, text) VALUES (?1, ?2, ?3)"
_ALL = Statement("SELECT id, number, text FROM scratch ORDER BY id")


def insert(row: str, number: int | None = 0, text: str | None = None) -> Statement:
    """Fails where there is such a row."""
    return Statement(_INSERT, (row, number, text))


@pytest.fixture
async def scratch(database: Database) -> AsyncIterator[Database]:
    """With a table to try things in."""
    table = "CREATE TABLE scratch (id TEXT PRIMARY KEY NOT NULL, number INTEGER, text TEXT) WITHOUT ROWID"
    await database.run(Statement(table))
    yield database
    await database.run(Statement("DROP TABLE scratch"))


async def test_rows(scratch: Database) -> None:
    """A batch gives the rows of each statement in order, a row's values in the order of its columns."""
    nothing, returned, some, none = await scratch.run(
        insert("a", 1, "x"),
        Statement(f"{_INSERT} RETURNING text, id", ("b", 2, "y")),
        _ALL,
        Statement("SELECT id FROM scratch WHERE id = ?1", ("c",)),
    )
    assert (list(nothing), list(returned), list(none)) == ([], [("y", "b")], [])
    assert list(some) == [("a", 1, "x"), ("b", 2, "y")]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        pytest.param(None, None, id="null"),
        pytest.param(0, "", id="zero and empty"),
        pytest.param(LARGEST, "x" * 10_000, id="large"),
        pytest.param(-LARGEST, "-1", id="negative"),
        pytest.param(1, "a\0b'\"\n\N{SNOWMAN}🚪", id="odd characters"),
    ],
)
async def test_values(scratch: Database, number: Value, text: Value) -> None:
    """Integers within 2^53, text and null come back as what they were."""
    await scratch.run(Statement(_INSERT, ("a", number, text)))
    ((row,),) = await scratch.run(_ALL)
    assert row == ("a", number, text)
    assert [type(value) for value in row[1:]] == [type(number), type(text)]


async def test_parameters(scratch: Database) -> None:
    """A numbered parameter may be used more than once; there may be a hundred."""
    numbers = ", ".join(f"?{number}" for number in range(1, 101))
    found = f"SELECT count(*) AS found, ?1 AS first WHERE 50 IN ({numbers}) AND 101 NOT IN ({numbers})"
    ((row,),) = await scratch.run(Statement(found, tuple(range(1, 101))))
    assert row == (1, 1)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(insert("taken"), id="broken constraint"),
        pytest.param(Statement("SELECT absent FROM scratch"), id="wrong statement"),
    ],
)
async def test_all_or_nothing(scratch: Database, fault: Statement) -> None:
    """When one statement of a batch fails, the whole batch does, with nothing left of it."""
    await scratch.run(insert("taken"))
    with pytest.raises(StorageUnavailable):
        await scratch.run(insert("before"), fault, insert("after"))
    ((row,),) = await scratch.run(_ALL)
    assert row[0] == "taken"


async def test_neighbours_of_a_failure(scratch: Database) -> None:
    """Batches that run at the same time as a failing one are not touched by it."""
    await scratch.run(insert("taken"))
    batches = [(insert(f"row {number}"), insert(f"and {number}")) for number in range(20)]
    batches[7] = (insert("row 7"), insert("taken"))
    outcomes = await asyncio.gather(*(scratch.run(*batch) for batch in batches), return_exceptions=True)
    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Exception)] == [7]
    (rows,) = await scratch.run(_ALL)
    assert len(rows) == 19 * 2 + 1


async def test_conflicts_are_no_failures(scratch: Database) -> None:
    """`ON CONFLICT` and `RETURNING` tell whether something was written."""
    once = f"{_INSERT} ON CONFLICT (id) DO NOTHING RETURNING id"
    (first,) = await scratch.run(Statement(once, ("a", 1, None)))
    (second,) = await scratch.run(Statement(once, ("a", 2, None)))
    assert (list(first), list(second)) == ([("a",)], [])


async def test_last_unit(scratch: Database) -> None:
    """A guarded update is atomic: fifty at once take twenty units of twenty, never more."""
    await scratch.run(insert("units", 20))
    take = "UPDATE scratch SET number = number - ?1 WHERE id = 'units' AND number >= ?1 RETURNING number"
    taken = await asyncio.gather(*(scratch.run(Statement(take, (1,))) for _ in range(50)))
    left = sorted(rows[0][0] for (rows,) in taken if rows)
    assert left == list(range(20))
    assert all(isinstance(number, int) for number in left)


async def test_chained_statements(scratch: Database) -> None:
    """A statement can depend, by `changes()`, on what the one before it in its batch wrote."""
    await scratch.run(insert("sum"))
    batch = (
        Statement(f"{_INSERT} ON CONFLICT (id) DO NOTHING", ("once", 1, None)),
        Statement("UPDATE scratch SET number = number + ?1 WHERE id = 'sum' AND changes() = 1", (5,)),
    )
    await asyncio.gather(*(scratch.run(*batch) for _ in range(10)))
    ((row,),) = await scratch.run(Statement("SELECT number FROM scratch WHERE id = 'sum'"))
    assert row == (5,)


async def test_json(scratch: Database) -> None:
    """JSON is taken apart by the engine."""
    each = "SELECT key, CAST(value AS INTEGER) AS number FROM json_each(?1) ORDER BY key"
    (rows,) = await scratch.run(Statement(each, ('{"a": 1, "b": 2}',)))
    assert list(rows) == [("a", 1), ("b", 2)]


async def test_cancelled_caller(scratch: Database) -> None:
    """A batch whose caller is cancelled takes effect whole or not at all, and the database goes on."""
    calls = [asyncio.create_task(scratch.run(insert(f"a{n}"), insert(f"b{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    await asyncio.wait(calls)
    (rows,) = await scratch.run(_ALL)
    ids = {row[0] for row in rows}
    assert all((f"a{n}" in ids) == (f"b{n}" in ids) for n in range(20))
    assert {f"a{n}" for n in range(1, 20, 2)} <= ids
