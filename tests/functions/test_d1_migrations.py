"""The migrations that SQLite applies are applied unchanged by D1: wrangler's own command on workerd's own D1.

That the stores work on it is in the contract suites (`tests/contract`), which run over the same D1.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.adapters.sql.database import Rows, Statement
from common.adapters.sql.migrations import FOLDER, migrate, migrations
from common.adapters.sql.usage import find_record, write_settled
from tests.edge import toolbox
from tests.support import d1
from tests.support.records import as_of_old, insert_of_version_1, usage_record

SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
COLUMNS = """
SELECT tables.name AS table_name, columns.name AS column_name, columns.type, columns."notnull", columns.pk
FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table' ORDER BY tables.name, columns.cid
"""
D1S_OWN = ("d1_migrations", "sqlite_sequence", "_cf_")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where wrangler has migrated a database."""
    toolbox.prepare()
    folder = tmp_path_factory.mktemp("d1")
    d1.configure(folder)
    said = d1.migrate(folder)
    assert all(file.name in said for file in FOLDER.glob("*.sql"))
    return folder


@pytest.fixture(scope="module")
def database(folder: Path) -> Iterator[d1.LocalD1]:
    """The migrated one."""
    with d1.open_d1(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def sqlite() -> Iterator[sqlite3.Connection]:
    """What SQLite's own runner makes of the same files."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, migrations())
    yield connection
    connection.close()


def ours(rows: Rows) -> list[tuple[object, ...]]:
    """Without the rows about tables that D1 keeps for itself."""
    return [row for row in rows if not any(str(value).startswith(D1S_OWN) for value in row[:3])]


def test_applied_once(folder: Path) -> None:
    """Applied again, wrangler finds nothing to do."""
    assert "No migrations to apply" in d1.migrate(folder)


@pytest.mark.parametrize("facts", [SCHEMA, COLUMNS], ids=["tables and indices", "columns"])
def test_same_schema(database: d1.LocalD1, sqlite: sqlite3.Connection, facts: str) -> None:
    """D1 has the tables, columns and indices that SQLite has, and no other."""
    (found,) = database.run_now(Statement(facts))
    expected = sqlite.execute(facts).fetchall()
    assert expected
    assert ours(found) == ours(expected)


def test_version(database: d1.LocalD1) -> None:
    """The schema version, which a Worker checks, is the last migration's number."""
    (rows,) = database.run_now(Statement("SELECT version FROM schema_version"))
    assert rows == [(migrations()[-1].version,)]


async def test_rows_written(database: d1.LocalD1) -> None:
    """Of what D1 bills, a settled request is two rows, the record and its index entry; settled again it is none."""
    written = []
    for _ in range(2):
        before = database.rows_written
        await database.run(write_settled(usage_record(1), guarded=False))
        written.append(database.rows_written - before)
    assert written == [2, 0]


async def test_records_of_before(tmp_path: Path) -> None:
    """A D1 of the first version keeps its records: what they did not know is null in them."""
    toolbox.prepare()
    (first, *_) = sorted(FOLDER.glob("*.sql"))
    (tmp_path / "first").mkdir()
    shutil.copy(first, tmp_path / "first")
    d1.configure(tmp_path, tmp_path / "first")
    d1.migrate(tmp_path)
    with d1.open_d1(tmp_path) as database:
        await database.run(Statement(*insert_of_version_1(usage_record(1))))
    d1.configure(tmp_path)
    assert first.name not in d1.migrate(tmp_path)
    with d1.open_d1(tmp_path) as database:
        await database.run(write_settled(usage_record(2), guarded=False))
        found = [await find_record(database, usage_record(number).request_id) for number in (1, 2)]
    assert found == [as_of_old(usage_record(1)), usage_record(2)]
