"""Usage records in SQL: the row, how it is written once, and `UsageStore`."""

import json
from collections.abc import Sequence
from typing import Any, Final

from common.adapters.sql.database import Database, Statement, Value
from common.model.ids import RequestId
from common.model.usage import Outcome, Tokens, UsageRecord

_COLUMNS: Final = (
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
)
_NAMES: Final = ", ".join(_COLUMNS)
_FIND: Final = f"SELECT {_NAMES} FROM usage WHERE request_id = ?1"
_INSERT: Final = f"INSERT INTO usage ({_NAMES}) SELECT "
_NUMBERED: Final = ", ".join(f"?{number}" for number in range(1, len(_COLUMNS) + 1))
_REPLACE: Final = " ON CONFLICT (request_id) DO UPDATE SET {sets} WHERE usage.abandoned = 1".format(
    sets=", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
)
_ALWAYS_OR_AFTER_A_WRITE: Final = {False: "true", True: "changes() = 1"}
_SETTLE: Final = {
    guarded: f"{_INSERT}{_NUMBERED} WHERE {guard}{_REPLACE}"
    for guarded, guard in _ALWAYS_OR_AFTER_A_WRITE.items()
}
_LISTED: Final = ", ".join(f"value ->> {index}" for index in range(len(_COLUMNS)))
_NAME_KEY: Final = " ON CONFLICT (request_id) DO UPDATE SET key_id = excluded.key_id WHERE usage.key_id = ''"
_ABANDON: Final = {
    guarded: f"{_INSERT}{_LISTED} FROM json_each(?1) WHERE {guard}{_NAME_KEY}"
    for guarded, guard in _ALWAYS_OR_AFTER_A_WRITE.items()
}


class SqlUsageStore:
    """A `UsageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `UsageStore.find`."""
        return await find_record(self._database, request_id)


async def find_record(database: Database, request_id: RequestId) -> UsageRecord | None:
    """The record of a request."""
    (rows,) = await database.run(Statement(_FIND, (request_id,)))
    return _from_row(rows[0]) if rows else None


def write_settled(record: UsageRecord, *, guarded: bool) -> Statement:
    """Keep `record`, unless its request has one that is not abandoned. `guarded`: if the statement before wrote."""
    return Statement(_SETTLE[guarded], _to_row(record))


def write_abandoned(records: Sequence[UsageRecord], *, guarded: bool) -> Statement:
    """Keep those whose requests have none. A key's row knows what a user's did not."""
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
    )


def _from_row(row: tuple[Any, ...]) -> UsageRecord:
    named = dict(zip(_COLUMNS, row, strict=True))
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
    )
