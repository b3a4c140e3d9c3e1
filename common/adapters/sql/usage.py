"""Usage records in SQL: the row, how it is written once, and `UsageStore`."""

from typing import Any, Final

from common.adapters.sql.database import Database, Statement
from common.model.ids import RequestId
from common.model.usage import Outcome, Usage, UsageRecord

_FIND: Final = """\
SELECT request_id, key_id, user, model, provider, upstream_model, outcome, streamed, attempts,
    input_tokens, cache_read_tokens, output_tokens, estimated, started_ms, first_byte_ms, total_ms
FROM usage WHERE request_id = ?1
"""
_RECORD: Final = """\
INSERT INTO usage (request_id, key_id, user, model, provider, upstream_model, outcome, streamed, attempts,
    input_tokens, cache_read_tokens, output_tokens, estimated, started_ms, first_byte_ms, total_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
ON CONFLICT (request_id) DO NOTHING
"""


class SqlUsageStore:
    """A `UsageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `UsageStore.find`."""
        (rows,) = await self._database.run(Statement(_FIND, (request_id,)))
        return _from_row(rows[0]) if rows else None


def write_once(record: UsageRecord) -> Statement:
    """Keep `record`, unless its request has one already."""
    usage = record.usage
    return Statement(
        _RECORD,
        (
            record.request_id,
            record.key_id,
            record.user,
            record.model,
            record.provider,
            record.upstream_model,
            record.outcome.value,
            int(record.streamed),
            record.attempts,
            usage.input_tokens,
            usage.cache_read_tokens,
            usage.output_tokens,
            int(record.estimated),
            record.started_ms,
            record.first_byte_ms,
            record.total_ms,
        ),
    )


def _from_row(row: tuple[Any, ...]) -> UsageRecord:
    request_id, key_id, user, model, provider, upstream_model, outcome, streamed, attempts, *rest = row
    input_tokens, cache_read_tokens, output_tokens, estimated, started_ms, first_byte_ms, total_ms = rest
    return UsageRecord(
        request_id=request_id,
        key_id=key_id,
        user=user,
        model=model,
        provider=provider,
        upstream_model=upstream_model,
        outcome=Outcome(outcome),
        streamed=bool(streamed),
        attempts=attempts,
        usage=Usage(input_tokens, cache_read_tokens, output_tokens),
        estimated=bool(estimated),
        started_ms=started_ms,
        first_byte_ms=first_byte_ms,
        total_ms=total_ms,
    )
