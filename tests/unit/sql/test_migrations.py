"""The schema, and how SQLite comes to it."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.adapters.sql.migrations import (
    FOLDER,
    Migration,
    NewerSchema,
    migrate,
    migrations,
    statements,
)
from common.adapters.sql.usage import COLUMNS, from_row, write_settled
from tests.support.records import as_of_old, insert_of_version_1, usage_record

STEPS = [
    Migration(1, "CREATE TABLE schema_version (version INTEGER); INSERT INTO schema_version VALUES (1);"),
    Migration(2, "CREATE TABLE second (id TEXT); UPDATE schema_version SET version = 2;"),
]
BROKEN = Migration(2, "CREATE TABLE second (id TEXT); UPDATE schema_version SET version = absent;")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """To an empty database."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def version(connection: sqlite3.Connection) -> int:
    """What the database says of itself."""
    (found,) = connection.execute("SELECT version FROM schema_version").fetchone()
    assert isinstance(found, int)
    return found


def tables(connection: sqlite3.Connection) -> set[str]:
    """Their names."""
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_from_empty(connection: sqlite3.Connection) -> None:
    """An empty database gets every step, in order."""
    migrate(connection, STEPS)
    assert version(connection) == 2
    assert tables(connection) == {"schema_version", "second"}


def test_again(connection: sqlite3.Connection) -> None:
    """A database that is up to date is left as it is."""
    migrate(connection, STEPS)
    before = connection.total_changes
    migrate(connection, STEPS)
    assert connection.total_changes == before


def test_only_what_is_missing(connection: sqlite3.Connection) -> None:
    """A database in between gets the later steps only."""
    migrate(connection, STEPS[:1])
    assert tables(connection) == {"schema_version"}
    migrate(connection, STEPS)
    assert version(connection) == 2


def test_newer(connection: sqlite3.Connection) -> None:
    """A database that a later Sluice has migrated is refused, and told apart by both versions."""
    migrate(connection, STEPS)
    with pytest.raises(NewerSchema) as caught:
        migrate(connection, STEPS[:1])
    assert (caught.value.found, caught.value.known) == (2, 1)


def test_failing_step(connection: sqlite3.Connection) -> None:
    """A step that fails leaves the database as the step before left it."""
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, [STEPS[0], BROKEN])
    assert version(connection) == 1
    assert tables(connection) == {"schema_version"}
    assert not connection.in_transaction


@pytest.mark.parametrize(
    ("script", "found"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("SELECT 1;\nSELECT 2;\n", ["SELECT 1;", "SELECT 2;"], id="two"),
        pytest.param("SELECT ';'; SELECT 2;", ["SELECT ';';", "SELECT 2;"], id="in a string"),
        pytest.param("-- first; of all\nSELECT 1;", ["-- first; of all\nSELECT 1;"], id="in a comment"),
        pytest.param(
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END;",
            ["CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END;"],
            id="in a trigger",
        ),
    ],
)
def test_statements(script: str, found: list[str]) -> None:
    """A script is cut where its statements end, nowhere else."""
    assert list(statements(script)) == found


def test_files() -> None:
    """The files are numbered without a gap, end with a semicolon, and each leaves its own number behind."""
    steps = migrations()
    assert [step.version for step in steps] == list(range(1, len(list(FOLDER.glob("*.sql"))) + 1))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for step in steps:
        assert step.script.rstrip().endswith(";")
        for statement in statements(step.script):
            connection.execute(statement)
        assert version(connection) == step.version
    connection.close()


def test_one_version() -> None:
    """There is one schema version, and the schema itself sees to that."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, migrations())
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO schema_version VALUES (2, 9)")
    connection.close()


def test_many_processes_start_at_once(tmp_path: Path) -> None:
    """Processes that open a new file at the same time all find it migrated."""
    start = (
        "import asyncio, sys; from pathlib import Path; from common.adapters.sql.sqlite import open_sqlite\n"
        "async def main():\n"
        "    async with open_sqlite(Path(sys.argv[1])): pass\n"
        "sys.stdin.readline(); asyncio.run(main()); print('ready')"
    )
    command = [sys.executable, "-c", start, str(tmp_path / "sluice.db")]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == ["ready\n"] * 4


def test_records_of_before(connection: sqlite3.Connection) -> None:
    """A database of the first version keeps its records: what they did not know is null in them."""
    migrate(connection, migrations()[:1])
    connection.execute(*insert_of_version_1(usage_record(1)))
    migrate(connection, migrations())
    (row,) = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM usage")
    assert from_row(row) == as_of_old(usage_record(1))
    statement = write_settled(usage_record(2), guarded=False)
    connection.execute(statement.sql, statement.parameters)
    _, row = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM usage ORDER BY request_id")
    assert from_row(row) == usage_record(2)
