"""The meter's rows in SQL: plans as statements.

A batch is one UPDATE for each row, the records, and a SELECT of the rows as they then are. The first UPDATE holds the
guards of all rows, the others follow where the statement before them changed a row (`changes() = 1`), so all is done or
nothing.

The text of a statement depends on which attributes a plan names, not on its values: few texts, put together once each.
"""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, count
from typing import Any, Final, NamedTuple

from common.adapters.sql.database import Database, Statement, Value
from common.adapters.sql.usage import (
    IS_PROVISIONAL,
    awaiting_records,
    find_record,
    write_abandoned,
    write_settled,
)
from common.metering.plan import Plan
from common.metering.rows import PAGE, Change, Outcome, Page, Records
from common.metering.standing import ATTRIBUTES, EMPTY, Standing, first_alive
from common.model.errors import StorageUnavailable
from common.model.ids import RequestId
from common.model.usage import Provisional, UsageRecord

_COLUMNS: Final = ", ".join((*ATTRIBUTES, "holds"))
_EXPIRED: Final = f"""\
SELECT {_COLUMNS}, name FROM meter
WHERE name > ?1 AND in_flight > 0 AND EXISTS (SELECT 1 FROM json_each(holds) WHERE key < ?2)
ORDER BY name LIMIT {PAGE}
"""
_PAGE: Final = f"SELECT {_COLUMNS}, name FROM meter WHERE name > ?1 ORDER BY name LIMIT {PAGE}"
_CREATE: Final = "INSERT INTO meter (name) VALUES (?1) ON CONFLICT (name) DO NOTHING"


class SqlRows:
    """`Rows` over any engine that speaks SQLite's dialect."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, rows: Sequence[str]) -> Sequence[Standing]:
        """See `Rows.read`."""
        (found,) = await self._database.run(_select(rows))
        standings = _standings(found)
        return [standings.get(row, EMPTY) for row in rows]

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """See `Rows.apply`."""
        if not changes:
            await self._database.run(*written(records, guarded=False))
            return Outcome(applied=True, standings=[])
        rows = [change.row for change in changes]
        batch = [*_updates(changes, records), *written(records, guarded=True), _select(rows)]
        for _ in range(2):
            results = await self._database.run(*batch)
            standings = _standings(results[-1])
            missing = [row for row in rows if row not in standings]
            if not missing:
                return Outcome(applied=bool(results[0]), standings=[standings[row] for row in rows])
            await self._database.run(*(Statement(_CREATE, (row,)) for row in missing))
        raise StorageUnavailable("A row of the meter cannot be created.")

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `Rows.find`."""
        return await find_record(self._database, request_id)

    async def awaiting(self, after: str = "") -> Sequence[UsageRecord]:
        """See `Rows.awaiting`."""
        return await awaiting_records(self._database, after)

    async def expired(self, now_ms: int, after: str = "") -> Page:
        """See `Rows.expired`. Walks through the table: an index of rows with holds would cost two writes a request."""
        (found,) = await self._database.run(Statement(_EXPIRED, (after, first_alive(now_ms))))
        return [(row[-1], to_standing(row)) for row in found]

    async def page(self, after: str = "") -> Page:
        """See `RowList.page`."""
        (found,) = await self._database.run(Statement(_PAGE, (after,)))
        return [(row[-1], to_standing(row)) for row in found]


def _select(rows: Sequence[str]) -> Statement:
    wanted = ", ".join(f"?{number}" for number in range(1, len(rows) + 1))
    return Statement(f"SELECT {_COLUMNS}, name FROM meter WHERE name IN ({wanted})", tuple(rows))


def to_standing(row: tuple[Any, ...]) -> Standing:
    """A row of `ATTRIBUTES` and holds, and whatever comes after them."""
    return Standing(dict(zip(ATTRIBUTES, row, strict=False)), json.loads(row[len(ATTRIBUTES)]))


def _standings(found: Sequence[tuple[Any, ...]]) -> dict[str, Standing]:
    return {row[-1]: to_standing(row) for row in found}


class _Shape(NamedTuple):
    """What of a plan shows in the text of its statement."""

    set_to: tuple[str, ...]
    add: tuple[str, ...]
    patch: bool
    equal: tuple[str, ...]
    at_most: tuple[str, ...]
    holds: bool


def _shape(plan: Plan) -> _Shape:
    return _Shape(
        tuple(plan.set_to),
        tuple(plan.add),
        bool(plan.put or plan.remove),
        tuple(plan.equal),
        tuple(plan.at_most),
        bool(plan.holds),
    )


def _updates(changes: Sequence[Change], records: Records) -> Iterator[Statement]:
    shapes = tuple(_shape(change.plan) for change in changes)
    first, *others = changes
    texts = _texts(shapes, corrects=records.corrects)
    guarded = chain.from_iterable((change.row, *_guarded(change.plan)) for change in changes)
    corrected = (records.settled.request_id,) if records.corrects and records.settled else ()
    yield Statement(texts[0], (*_set(first.plan), *guarded, *corrected))
    for text, change in zip(texts[1:], others, strict=True):
        yield Statement(text, (*_set(change.plan), change.row))


def _set(plan: Plan) -> Iterator[Value]:
    """What the assignments of a plan are made with, in their order."""
    yield from plan.set_to.values()
    yield from plan.add.values()
    if plan.put or plan.remove:
        # a merge patch (RFC 7396): null removes
        yield json.dumps({**dict.fromkeys(plan.remove), **plan.put})


def _guarded(plan: Plan) -> Iterator[Value]:
    """What the guards of a plan compare with, in their order."""
    yield from plan.equal.values()
    yield from plan.at_most.values()
    if plan.holds:
        yield json.dumps(dict(plan.holds))


@lru_cache(maxsize=1024)
def _texts(shapes: tuple[_Shape, ...], *, corrects: Provisional | None) -> tuple[str, ...]:
    """An UPDATE for each row."""
    first, *others = shapes
    number = count(1)
    sets = _assignments(first, number)
    guards = [f"name = ?{next(number)}", *_comparisons(first, number)]
    for other in others:
        inside = " AND ".join([f"name = ?{next(number)}", *_comparisons(other, number)])
        guards.append(f"EXISTS (SELECT 1 FROM meter WHERE {inside})")
    if corrects is not None:
        provisional = f"request_id = ?{next(number)} AND {IS_PROVISIONAL[corrects]}"
        guards.append(f"EXISTS (SELECT 1 FROM usage WHERE {provisional})")
    return (
        f"UPDATE meter SET {sets} WHERE {' AND '.join(guards)} RETURNING name",
        *(_follow(other, count(1)) for other in others),
    )


def _follow(shape: _Shape, number: Iterator[int]) -> str:
    return f"UPDATE meter SET {_assignments(shape, number)} WHERE name = ?{next(number)} AND changes() = 1"


def _assignments(shape: _Shape, number: Iterator[int]) -> str:
    every = [f"{name} = ?{next(number)}" for name in shape.set_to]
    every += [f"{name} = {name} + ?{next(number)}" for name in shape.add]
    if shape.patch:
        every.append(f"holds = json_patch(holds, ?{next(number)})")
    return ", ".join(every) or "sub_window = sub_window"


def _comparisons(shape: _Shape, number: Iterator[int]) -> Iterator[str]:
    yield from (f"{name} = ?{next(number)}" for name in shape.equal)
    yield from (f"{name} <= ?{next(number)}" for name in shape.at_most)
    if shape.holds:
        yield (
            f"NOT EXISTS (SELECT 1 FROM json_each(?{next(number)}) AS expected "
            "WHERE json_extract(holds, '$.\"' || expected.key || '\"') IS NOT expected.value)"
        )


def written(records: Records, *, guarded: bool) -> Iterator[Statement]:
    """What writes the records; `guarded`: if the statement before wrote."""
    if records.settled is not None:
        replaces = records.corrects or Provisional.ABANDONED
        yield write_settled(records.settled, replaces, guarded=guarded)
    if records.abandoned:
        yield write_abandoned(records.abandoned, guarded=guarded)
