"""The meter's rows in SQL: plans as statements.

A batch is one UPDATE for each row, then the records. The first UPDATE holds the guards of all rows, the others follow
where the statement before them changed a row (`changes() = 1`), so all is done or nothing. What each UPDATE returns is
the row as it is now; only where a guard has failed is it read.

The text of a statement depends on which attributes are written, not on values: few texts, prepared once each.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from common.adapters.sql.database import Database, Statement, Value
from common.adapters.sql.usage import find_record, write_abandoned, write_settled
from common.metering.plan import Plan
from common.metering.rows import Change, Outcome, Records
from common.metering.standing import ATTRIBUTES, EMPTY, Standing
from common.model.errors import StorageUnavailable
from common.model.ids import RequestId
from common.model.usage import UsageRecord

_COLUMNS: Final = ", ".join((*ATTRIBUTES, "holds"))
_CREATE: Final = "INSERT INTO meter (name) VALUES (?1) ON CONFLICT (name) DO NOTHING"
_NO_RECORDS: Final = Records()


class SqlRows:
    """`Rows` over any engine that speaks SQLite's dialect."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, rows: Sequence[str]) -> Sequence[Standing]:
        """See `Rows.read`."""
        found = await self._found(rows)
        return [found.get(row, EMPTY) for row in rows]

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """See `Rows.apply`."""
        statements = [*_updates(changes, records), *_records(records, guarded=bool(changes))]
        if not changes:
            await self._database.run(*statements)
            return Outcome(applied=True, standings=[])
        for _ in range(2):
            results = await self._database.run(*statements)
            if results[0]:
                return Outcome(
                    applied=True, standings=[_standing(rows[0]) for rows in results[: len(changes)]]
                )
            names = [change.row for change in changes]
            found = await self._found(names)
            missing = [name for name in names if name not in found]
            if not missing:
                return Outcome(applied=False, standings=[found[name] for name in names])
            await self._database.run(*(Statement(_CREATE, (name,)) for name in missing))
        raise StorageUnavailable("A row of the meter cannot be created.")

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `Rows.find`."""
        return await find_record(self._database, request_id)

    async def _found(self, rows: Sequence[str]) -> dict[str, Standing]:
        wanted = ", ".join(f"?{number}" for number in range(1, len(rows) + 1))
        sql = f"SELECT {_COLUMNS}, name FROM meter WHERE name IN ({wanted})"
        (found,) = await self._database.run(Statement(sql, tuple(rows)))
        return {row[-1]: _standing(row[:-1]) for row in found}


def _standing(row: tuple[Any, ...]) -> Standing:
    return Standing(dict(zip(ATTRIBUTES, row, strict=False)), json.loads(row[len(ATTRIBUTES)]))


class _Parameters:
    """Numbers the parameters of one statement."""

    def __init__(self) -> None:
        self.values: list[Value] = []

    def __call__(self, value: Value) -> str:
        self.values.append(value)
        return f"?{len(self.values)}"


def _updates(changes: Sequence[Change], records: Records) -> list[Statement]:
    statements = []
    for index, change in enumerate(changes):
        parameter = _Parameters()
        sets = ", ".join(_sets(change.plan, parameter)) or "sub_window = sub_window"
        if index:
            guards = [f"name = {parameter(change.row)}", "changes() = 1"]
        else:
            guards = [f"name = {parameter(change.row)}", *_guards(change.plan, parameter)]
            for other in changes[1:]:
                inside = " AND ".join([f"name = {parameter(other.row)}", *_guards(other.plan, parameter)])
                guards.append(f"EXISTS (SELECT 1 FROM meter WHERE {inside})")
            if records.corrects and records.settled is not None:
                request_id = parameter(records.settled.request_id)
                guards.append(
                    f"EXISTS (SELECT 1 FROM usage WHERE request_id = {request_id} AND abandoned = 1)"
                )
        sql = f"UPDATE meter SET {sets} WHERE {' AND '.join(guards)} RETURNING {_COLUMNS}"
        statements.append(Statement(sql, tuple(parameter.values)))
    return statements


def _guards(plan: Plan, parameter: _Parameters) -> Iterable[str]:
    for name, value in plan.equal.items():
        yield f"{name} = {parameter(value)}"
    for name, most in plan.at_most.items():
        yield f"{name} <= {parameter(most)}"
    if plan.holds:
        expected = parameter(json.dumps(plan.holds))
        yield (
            f"NOT EXISTS (SELECT 1 FROM json_each({expected}) AS expected "
            "WHERE json_extract(holds, '$.\"' || expected.key || '\"') IS NOT expected.value)"
        )


def _sets(plan: Plan, parameter: _Parameters) -> Iterable[str]:
    for name, value in plan.set_to.items():
        yield f"{name} = {parameter(value)}"
    for name, by in plan.add.items():
        yield f"{name} = {name} + {parameter(by)}"
    if plan.put or plan.remove:
        # a merge patch (RFC 7396): null removes
        patch: dict[str, str | None] = dict.fromkeys(plan.remove)
        patch.update(plan.put.items())
        yield f"holds = json_patch(holds, {parameter(json.dumps(patch))})"


def _records(records: Records, *, guarded: bool) -> Iterable[Statement]:
    if records.settled is not None:
        yield write_settled(records.settled, guarded=guarded)
    if records.abandoned:
        yield write_abandoned(records.abandoned)
