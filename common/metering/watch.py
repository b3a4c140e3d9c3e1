"""What an applied plan gives to tell: limits that are only observed, and budgets that run low. Pure.

Whoever applied a plan knows the row after it, and by the plan the row before. So a threshold that `committed` passes
upwards is seen by exactly one write, however many instances there are; a refusal that was only observed, by its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from common.metering.budget import PERIODS, spent
from common.metering.checks import COUNTED_IN, Asked
from common.metering.plan import Draft, Plan
from common.metering.standing import Standing
from common.metering.window import SUB_WINDOW, used
from common.model.ids import RequestId
from common.model.limits import Limit, Limits
from common.model.usage import UsageRecord

_USED_UP: Final = (
    100  # percent; told from 99.5 on: what is left then hardly pays a request, so nothing fills it
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """`percent` of a budget are committed, and were not before."""

    row: str  # `key:` or `user:`, and its id
    limit: Limit
    period: str  # the UTC day or month, like `2026-11-25` and `2026-11`; `total`
    percent: int
    spent_nanousd: int
    held_nanousd: int
    budget_nanousd: int


@dataclass(frozen=True, slots=True)
class Overrun:
    """A request cost more than was held for it, in a row that has a budget."""

    row: str
    request_id: RequestId
    held_nanousd: int
    cost_nanousd: int


@dataclass(frozen=True, slots=True)
class Observed:
    """A request was admitted that limits would have refused if they were not only observed."""

    row: str
    request_id: RequestId
    limits: tuple[Limit, ...]


Alert: TypeAlias = Threshold | Overrun | Observed


def observed(after: Standing, limits: Limits, asked: Asked) -> tuple[Limit, ...]:
    """Of an admission's row as it is `after` it: the observed limits that had no room for what was asked.

    A limit has room if it is kept with the request counted: `enforce` asks so beforehand, this afterwards.
    """
    return tuple(
        limit
        for limit, value in limits.observing.items()
        if asked[COUNTED_IN[limit][0]] and _count(after.counts, limit) > value
    )


def _count(counts: Mapping[str, int], limit: Limit) -> int:
    _, attribute, ring = COUNTED_IN[limit]
    return used(counts, ring, counts[SUB_WINDOW]) if ring else counts[attribute]


def thresholds(row: str, after: Standing, limits: Limits, plan: Plan, now_ms: int) -> Iterator[Threshold]:
    """Of a row as it is `after` a plan: what `committed` has passed by it."""
    for period in PERIODS:
        budget = limits.stated(period.limit)
        if budget is None:
            continue
        committed = after.counts[period.committed]
        began_anew = period.committed in plan.set_to
        before = 0 if began_anew else committed - plan.add.get(period.committed, 0)
        passed = [percent for percent in limits.alerts if before < _amount(percent, budget) <= committed]
        if passed:
            gone = spent(Draft(after), period, now_ms)
            name = period.name(after.counts[SUB_WINDOW])
            for percent in passed:
                yield Threshold(row, period.limit, name, percent, gone, committed - gone, budget)


def overruns(record: UsageRecord, limits: Mapping[str, Limits]) -> Iterator[Overrun]:
    """Of a request that is settled with more than was held: one for each row that has a budget."""
    if record.overrun_nanousd:
        for row, bound in limits.items():
            if any(bound.stated(period.limit) is not None for period in PERIODS):
                yield Overrun(row, record.request_id, record.held_nanousd, record.cost_nanousd)


def _amount(percent: int, budget: int) -> int:
    """From which amount on so much of a budget counts as committed."""
    per_mille = 995 if percent == _USED_UP else percent * 10
    return max(1, -(-budget * per_mille // 1000))
