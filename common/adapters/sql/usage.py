"""Usage records in SQL: the row, how it is written once, and `UsageStore`."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from common.adapters.sql.database import Database, Statement, Value
from common.metering.rows import PAGE
from common.metering.sums import in_order, require_few
from common.model.ids import RequestId
from common.model.usage import CountedIn, Outcome, Provisional, Tokens, UsageRecord
from common.model.usage_query import (
    FAILED,
    MOST_SUMS,
    Booking,
    Group,
    GroupBy,
    Totals,
    UsageQuery,
    UsageSum,
)
from common.wire.usage_json import route_from_json, route_to_json

COLUMNS: Final = (
    *(
        "request_id",
        "key_id",
        "user",
        "model",
        "provider",
        "upstream_model",
        "outcome",
        "streamed",
        "attempts",
    ),
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *(
        "image_tokens",
        "audio_tokens",
        "estimated",
        "cost",
        "provider_cost",
        "held",
        "held_tokens",
        "sub_window",
    ),
    *("abandoned", "started_ms", "first_byte_ms", "total_ms"),
    *("gateway_us", "storage_us", "route", "session_id", "trace_id", "end_user", "awaiting"),
)
_NAMES: Final = ", ".join(COLUMNS)
_FIND: Final = f"SELECT {_NAMES} FROM usage WHERE request_id = ?1"
_INSERT: Final = f"INSERT INTO usage ({_NAMES}) SELECT "
_NUMBERED: Final = ", ".join(f"?{number}" for number in range(1, len(COLUMNS) + 1))
_SETS: Final = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
_REPLACE: Final = f" ON CONFLICT (request_id) DO UPDATE SET {_SETS} WHERE "
IS_PROVISIONAL: Final = {
    Provisional.ABANDONED: "usage.abandoned = 1",
    Provisional.AWAITING: "usage.awaiting IS NOT NULL",
}
_ALWAYS_OR_AFTER_A_WRITE: Final = {False: "true", True: "changes() = 1"}
_SETTLE: Final = {
    (guarded, provisional): f"{_INSERT}{_NUMBERED} WHERE {guard}{_REPLACE}{condition}"
    for guarded, guard in _ALWAYS_OR_AFTER_A_WRITE.items()
    for provisional, condition in IS_PROVISIONAL.items()
}
_AWAITING: Final = f"""\
SELECT {_NAMES} FROM usage WHERE awaiting IS NOT NULL AND request_id > ?1 ORDER BY request_id LIMIT {PAGE}
"""
_LISTED: Final = ", ".join(f"value ->> {index}" for index in range(len(COLUMNS)))
_COMPLETE: Final = """ ON CONFLICT (request_id) DO UPDATE SET
key_id = CASE WHEN usage.key_id = '' THEN excluded.key_id ELSE usage.key_id END,
user = CASE WHEN usage.user = '' THEN excluded.user ELSE usage.user END
WHERE usage.key_id = '' OR usage.user = ''"""
_ABANDON: Final = {
    guarded: f"{_INSERT}{_LISTED} FROM json_each(?1) WHERE {guard}{_COMPLETE}"
    for guarded, guard in _ALWAYS_OR_AFTER_A_WRITE.items()
}

BOOKINGS_AT_ONCE: Final = 1_000
_BOOKINGS: Final = """\
SELECT request_id, key_id, user, sub_window, cost FROM usage WHERE request_id > ?1 ORDER BY request_id LIMIT ?2
"""
_GROUPED: Final = {GroupBy.MODEL: "model", GroupBy.KEY: "key_id", GroupBy.USER: "user"}
_FAILED: Final = ", ".join(f"'{outcome}'" for outcome in sorted(FAILED))
_SUMMED: Final = ", ".join(
    (
        "count(*) AS requests, sum(cost) AS cost, sum(estimated) AS estimated",
        f"sum(outcome IN ({_FAILED})) AS failed",
        *(f"sum({name}_tokens) AS {name}_tokens" for name in Tokens._fields),
    )
)


class SqlUsageStore:
    """A `UsageStore`.

    Usage of one user is read by `usage_by_key`, and other usage by the ids of its time, which are the primary key. So
    reading takes no index of its own, which would be one more write for each request, and reads each row of its time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `UsageStore.find`."""
        return await find_record(self._database, request_id)

    async def sums(self, query: UsageQuery) -> Sequence[UsageSum]:
        """See `UsageStore.sums`."""
        (rows,) = await self._database.run(sum_statement(query))
        require_few(len(rows))
        return in_order(_sum(row, query.width_ms) for row in rows)

    async def bookings(self) -> AsyncIterator[Booking]:
        """See `UsageStore.bookings`."""
        after = ""
        while True:
            (rows,) = await self._database.run(Statement(_BOOKINGS, (after, BOOKINGS_AT_ONCE)))
            if not rows:
                return
            for row in rows:
                yield Booking(*row)
            after = rows[-1][0]


async def find_record(database: Database, request_id: RequestId) -> UsageRecord | None:
    """The record of a request."""
    (rows,) = await database.run(Statement(_FIND, (request_id,)))
    return from_row(rows[0]) if rows else None


def sum_statement(query: UsageQuery) -> Statement:
    """Sums and the names of their groups. Names of clients are parameters, several as one array of JSON."""
    asked = [(column, names) for column, names in _named(query) if names is not None]
    conditions = [
        "request_id >= ?2 AND request_id < ?3 AND started_ms >= ?4 AND started_ms < ?5",
        *(
            f"{column} IN (SELECT value FROM json_each(?{number}))"
            for number, (column, _) in enumerate(asked, start=6)
        ),
    ]
    groups = [f"{_GROUPED[by]} AS {by}" if by in query.group_by else f"NULL AS {by}" for by in GroupBy]
    sql = (
        f"SELECT started_ms / CAST(?1 AS INTEGER) AS bucket, {', '.join(groups)}, {_SUMMED} FROM usage"
        f" WHERE {' AND '.join(conditions)} GROUP BY 1, 2, 3, 4 LIMIT {MOST_SUMS + 1}"
    )
    lists = [json.dumps(sorted(names)) for _, names in asked]
    return Statement(sql, (query.width_ms, *query.ids, query.start_ms, query.end_ms, *lists))


def _named(query: UsageQuery) -> Iterator[tuple[str, frozenset[Any] | None]]:
    yield "user", query.users
    yield "key_id", query.keys
    yield "model", query.models


def _sum(row: tuple[Any, ...], width_ms: int) -> UsageSum:
    bucket, model, key_id, user, requests, cost, estimated, failed, *tokens = row
    totals = Totals(requests, Tokens(*tokens), cost, estimated, failed)
    return UsageSum(bucket * width_ms, Group(model, key_id, user), totals)


async def awaiting_records(database: Database, after: str) -> Sequence[UsageRecord]:
    """See `Rows.awaiting`."""
    (rows,) = await database.run(Statement(_AWAITING, (after,)))
    return [from_row(row) for row in rows]


def write_settled(
    record: UsageRecord, replaces: Provisional = Provisional.ABANDONED, *, guarded: bool
) -> Statement:
    """Keep `record`, unless its request has one that is not what this `replaces`.

    `guarded`: if the statement before wrote.
    """
    return Statement(_SETTLE[guarded, replaces], _to_row(record))


def write_abandoned(records: Sequence[UsageRecord], *, guarded: bool) -> Statement:
    """Keep those whose requests have none. One row knows what another did not: the key, the user."""
    return Statement(_ABANDON[guarded], (json.dumps([_to_row(record) for record in records]),))


def _to_row(record: UsageRecord) -> tuple[Value, ...]:
    return (
        record.request_id,
        record.key_id,
        record.user,
        record.model,
        record.provider,
        record.upstream_model,
        record.outcome.value,
        int(record.streamed),
        record.attempts,
        *record.tokens,
        int(record.estimated),
        record.cost_nanousd,
        record.provider_cost_nanousd,
        record.held_nanousd,
        record.held_tokens,
        record.sub_window,
        int(record.abandoned),
        record.started_ms,
        record.first_byte_ms,
        record.total_ms,
        record.gateway_us,
        record.storage_us,
        route_to_json(record.route) if record.route else None,
        record.session_id,
        record.trace_id,
        record.end_user,
        None if record.awaiting is None else int(record.awaiting),
    )


def from_row(row: tuple[Any, ...]) -> UsageRecord:
    """The record that a row of `COLUMNS` is."""
    named = dict(zip(COLUMNS, row, strict=True))
    return UsageRecord(
        request_id=named["request_id"],
        key_id=named["key_id"],
        user=named["user"],
        model=named["model"],
        provider=named["provider"],
        upstream_model=named["upstream_model"],
        outcome=Outcome(named["outcome"]),
        streamed=bool(named["streamed"]),
        attempts=named["attempts"],
        tokens=Tokens(*row[9:16]),
        estimated=bool(named["estimated"]),
        cost_nanousd=named["cost"],
        provider_cost_nanousd=named["provider_cost"],
        held_nanousd=named["held"],
        held_tokens=named["held_tokens"],
        sub_window=named["sub_window"],
        abandoned=bool(named["abandoned"]),
        started_ms=named["started_ms"],
        first_byte_ms=named["first_byte_ms"],
        total_ms=named["total_ms"],
        gateway_us=named["gateway_us"],
        storage_us=named["storage_us"],
        route=route_from_json(named["route"]) if named["route"] else (),
        session_id=named["session_id"],
        trace_id=named["trace_id"],
        end_user=named["end_user"],
        awaiting=None if named["awaiting"] is None else CountedIn(named["awaiting"]),
    )
