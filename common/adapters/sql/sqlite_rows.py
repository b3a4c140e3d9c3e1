"""The meter's rows on SQLite, carried out by `apply` itself.

The writer's transaction has the file to itself, and takes in whatever many requests ask at that moment. So a row is
read once, plans are applied to it one after the other, and it is written once, however many they are: with 64 requests
at once that takes a good half of the CPU of a statement for each plan.
"""

import json
from collections.abc import Sequence
from functools import partial
from typing import Final

from common.adapters.sql.rows import SqlRows, to_standing, written
from common.adapters.sql.sqlite import SqliteDatabase, Transaction
from common.adapters.sql.usage import IS_PROVISIONAL
from common.metering.apply import apply
from common.metering.rows import Change, Outcome, Records
from common.metering.standing import ATTRIBUTES, EMPTY, Standing

_COLUMNS: Final = ("name", *ATTRIBUTES, "holds")
_READ: Final = f"SELECT {', '.join(_COLUMNS[1:])} FROM meter WHERE name = ?1"
_WRITE: Final = f"REPLACE INTO meter ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"

_NOTHING_CHANGED: Final = Outcome(applied=True, standings=())


class SqliteRows(SqlRows):
    """`Rows` on one SQLite file."""

    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database)
        self._sqlite = database

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """See `Rows.apply`."""
        return await self._sqlite.write(partial(_apply, changes, records))


def _apply(changes: Sequence[Change], records: Records, transaction: Transaction) -> Outcome:
    if not changes and records.corrects is None:
        _write(records, transaction)
        return _NOTHING_CHANGED
    rows = _Rows.of(transaction)
    before = [rows[change.row] for change in changes]
    after = [apply(standing, change.plan) for standing, change in zip(before, changes, strict=True)]
    done = [standing for standing in after if standing is not None]
    if len(done) < len(changes) or not _may_correct(transaction, records):
        return Outcome(applied=False, standings=before)
    for change, standing in zip(changes, done, strict=True):
        rows[change.row] = standing
    _write(records, transaction)
    return Outcome(applied=True, standings=done)


def _write(records: Records, transaction: Transaction) -> None:
    for statement in written(records, guarded=False):
        transaction.execute(statement.sql, statement.parameters)


def _may_correct(transaction: Transaction, records: Records) -> bool:
    if records.settled is None or records.corrects is None:
        return True
    query = f"SELECT 1 FROM usage WHERE request_id = ?1 AND {IS_PROVISIONAL[records.corrects]}"
    return transaction.execute(query, (records.settled.request_id,)).fetchone() is not None


class _Rows:
    """The rows that one transaction has read, as they are to be written at its end."""

    def __init__(self, transaction: Transaction) -> None:
        self._execute = transaction.execute
        self._standings: dict[str, Standing] = {}
        self._changed: set[str] = set()

    @staticmethod
    def of(transaction: Transaction) -> "_Rows":
        """Those of this transaction."""
        rows = transaction.unwritten.get(_Rows)
        if rows is None:
            rows = transaction.unwritten[_Rows] = _Rows(transaction)
        assert isinstance(rows, _Rows)
        return rows

    def __getitem__(self, name: str) -> Standing:
        standing = self._standings.get(name)
        if standing is None:
            found = self._execute(_READ, (name,)).fetchone()
            standing = EMPTY if found is None else to_standing(found)
            self._standings[name] = standing
        return standing

    def __setitem__(self, name: str, standing: Standing) -> None:
        self._standings[name] = standing
        self._changed.add(name)

    def write(self) -> None:
        """See `Unwritten.write`."""
        for name in self._changed:
            standing = self._standings[name]
            counts = [standing.counts[attribute] for attribute in ATTRIBUTES]
            self._execute(_WRITE, (name, *counts, json.dumps(dict(standing.holds))))
