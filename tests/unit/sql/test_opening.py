"""Opening a database file: what is made, and what is said when it cannot be."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from common.adapters.sql import sqlite
from common.adapters.sql.sqlite import open_sqlite
from common.model.errors import StorageUnavailable

NAME = "sluice.db"


async def test_folder_is_made(tmp_path: Path) -> None:
    """A data folder that is missing is made, with those above it, and is its owner's alone."""
    path = tmp_path / "a" / "b" / NAME
    async with open_sqlite(path):
        assert path.exists()
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_durable(tmp_path: Path) -> None:
    """The file is in WAL mode, and each connection waits for the disk at each commit."""
    async with open_sqlite(tmp_path / NAME) as database:
        for worker in (database._reader, database._writer):
            pragmas = ("journal_mode", "synchronous")
            found = [worker._connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas]
            assert found == ["wal", 2]


def no_folder(path: Path) -> None:
    """A file stands where the folder should be."""
    path.parent.rmdir()
    path.parent.touch()


def no_file(path: Path) -> None:
    """A folder stands where the file should be."""
    path.mkdir()


def no_database(path: Path) -> None:
    """Somebody's text."""
    path.write_text("not a database, but long enough to be looked at as one " * 20)


def newer(path: Path) -> None:
    """Of a later Sluice."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE schema_version (version)")
    connection.execute("INSERT INTO schema_version VALUES (999)")
    connection.commit()
    connection.close()


def foreign(path: Path) -> None:
    """Of another program."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE keys (version)")
    connection.close()


def read_only(path: Path) -> None:
    """A folder that nobody may write to."""
    path.parent.chmod(0o500)


ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.mark.parametrize(
    ("spoil", "what", "remedy"),
    [
        pytest.param(no_folder, "cannot be used as a folder", "choose another", id="folder is a file"),
        pytest.param(no_file, "cannot be written", "make it and its folder writable", id="file is a folder"),
        pytest.param(read_only, "cannot be written", "writable", id="folder is read-only", marks=ROOT),
        pytest.param(no_database, "is not a database", "move it away", id="not a database"),
        pytest.param(newer, "schema 999", "install that version", id="newer schema"),
        pytest.param(foreign, "table keys already exists", "move it away", id="another program's"),
    ],
)
async def test_advice(tmp_path: Path, spoil: Callable[[Path], None], what: str, remedy: str) -> None:
    """A file that cannot be used is refused in one line that names it, says what is wrong, and what to do."""
    path = tmp_path / "data" / NAME
    path.parent.mkdir()
    spoil(path)
    with pytest.raises(StorageUnavailable) as caught:
        async with open_sqlite(path):
            pass
    message = caught.value.message
    assert "\n" not in message
    assert str(path.parent) in message
    assert what in message
    assert remedy in message


async def test_held_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file that another process keeps to itself is waited for, then told."""
    monkeypatch.setattr(sqlite, "_BUSY_FOR_S", 0.05)
    path = tmp_path / NAME
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageUnavailable, match="held by another process"):
        async with open_sqlite(path):
            pass
    other.close()
