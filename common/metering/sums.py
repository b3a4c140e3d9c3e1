"""Sums of usage records, for stores that cannot sum by themselves. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from common.model.errors import InvalidRequest
from common.model.usage import Tokens, UsageRecord
from common.model.usage_query import FAILED, MOST_SUMS, Group, GroupBy, Totals, UsageQuery, UsageSum

_NOTHING: Final = Totals(0, Tokens(), 0, 0, 0)


class Summing:
    """Takes records one by one, and holds no more than the sums."""

    def __init__(self, query: UsageQuery) -> None:
        self._query = query
        self._totals: dict[tuple[int, Group], Totals] = {}

    def add(self, records: Iterable[UsageRecord]) -> None:
        """Count those that the query asks for; each may come once. `InvalidRequest` as soon as there are too many."""
        width_ms = self._query.width_ms
        for record in records:
            if _is_asked_for(record, self._query):
                place = (record.started_ms // width_ms * width_ms, _group(record, self._query.group_by))
                self._totals[place] = _with(self._totals.get(place, _NOTHING), record)
        require_few(len(self._totals))

    def result(self) -> Sequence[UsageSum]:
        """The sums, in no particular order."""
        return [UsageSum(*place, totals) for place, totals in self._totals.items()]


def in_order(sums: Iterable[UsageSum]) -> list[UsageSum]:
    """By bucket; within it by model, key and user."""
    return sorted(sums, key=lambda each: (each.bucket_ms, [name or "" for name in each.group]))


def require_few(sums: int) -> None:
    """`InvalidRequest` where they are more than one answer takes."""
    if sums > MOST_SUMS:
        raise InvalidRequest(
            f"This is more than {MOST_SUMS:,} results: ask for fewer or wider buckets, or for fewer groups.",
            param="limit",
            code="too_many_results",
        )


def _is_asked_for(record: UsageRecord, query: UsageQuery) -> bool:
    return (
        query.start_ms <= record.started_ms < query.end_ms
        and (query.keys is None or record.key_id in query.keys)
        and (query.users is None or record.user in query.users)
        and (query.models is None or record.model in query.models)
    )


def _group(record: UsageRecord, by: frozenset[GroupBy]) -> Group:
    return Group(
        record.model if GroupBy.MODEL in by else None,
        record.key_id if GroupBy.KEY in by else None,
        record.user if GroupBy.USER in by else None,
    )


def _with(totals: Totals, record: UsageRecord) -> Totals:
    return Totals(
        totals.requests + 1,
        Tokens(*map(sum, zip(totals.tokens, record.tokens, strict=True))),
        totals.cost_nanousd + record.cost_nanousd,
        totals.estimated + record.estimated,
        totals.failed + (record.outcome in FAILED),
    )
