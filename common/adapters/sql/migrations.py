"""The schema: which migrations there are, and how SQLite applies those it lacks.

A migration is a file `infra/sql/NNNN_what.sql` that puts its own number into `schema_version`. D1 has a runner of
its own, wrangler's: the files hold nothing but statements.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[3] / "infra" / "sql"  # in a wheel, too: it lies beside `common`


class NewerSchema(Exception):
    """A later Sluice has migrated this database."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(f"schema version {found}, known is {known}")
        self.found = found
        self.known = known


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema, from `version - 1` to `version`."""

    version: int
    script: str


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """All of them, in order."""
    files = sorted(folder.glob("[0-9]*.sql"))
    return [Migration(int(file.name.partition("_")[0]), file.read_text("utf-8")) for file in files]


def statements(script: str) -> Iterator[str]:
    """The statements of a script, each with its semicolon. One within a string, a comment or a trigger ends none."""
    statement = ""
    for piece in script.split(";")[:-1]:
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""


def migrate(connection: sqlite3.Connection, steps: list[Migration]) -> None:
    """Apply what is missing, each step in one transaction. Another process may be doing the same.

    Raises:
        NewerSchema: the database is ahead of `steps`.
        sqlite3.Error: nothing of the step that failed is left. With `SQLITE_BUSY` it is safe to call again.
    """
    for step in steps:
        if _version(connection) < step.version:
            _apply(connection, step)
    known = steps[-1].version
    if (found := _version(connection)) > known:
        raise NewerSchema(found, known)


def _version(connection: sqlite3.Connection) -> int:
    """Zero where nothing was ever applied."""
    table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone()
    return connection.execute("SELECT version FROM schema_version").fetchone()[0] if table else 0


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) < step.version:  # under the lock: another process may have been faster
            for statement in statements(step.script):
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
