"""Money: what of a budget is spent, what is merely held, and how much output the unspent part still pays (M7).

A row keeps `committed = spent + held` per period. A hold is booked in the day and month of its sub-window; one that
outlives its period leaves the row's counter with the period. So `held` of a period is the sum of the holds that are
booked in it and have not expired, and `spent` is the rest: what was settled, and what expired.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from common.metering.plan import Draft
from common.metering.standing import COMMITTED_DAY, COMMITTED_MONTH, COMMITTED_TOTAL, Standing
from common.metering.window import day_name, same_day, same_month
from common.model.limits import Limit, Limits
from common.model.price import PICO_PER_NANO


@dataclass(frozen=True, slots=True)
class Period:
    """A kind of budget."""

    limit: Limit
    committed: str  # the row's attribute
    same: Callable[[int, int], bool]  # whether two sub-windows are in one period
    name: Callable[[int], str]  # of the period that a sub-window is in


PERIODS: Final = (
    Period(Limit.BUDGET_DAY, COMMITTED_DAY, same_day, day_name),
    Period(Limit.BUDGET_MONTH, COMMITTED_MONTH, same_month, lambda index: day_name(index)[: len("2026-11")]),
    Period(Limit.BUDGET_TOTAL, COMMITTED_TOTAL, lambda _a, _b: True, lambda _: "total"),
)


def spent(draft: Draft, period: Period, now_ms: int) -> int:
    """What of the committed money is no longer held; `draft` has opened the sub-window of `now_ms`."""
    alive = draft.standing.alive(now_ms)
    held = sum(hold.cost_nanousd for hold in alive if period.same(hold.sub_window, draft.index))
    return draft.counts[period.committed] - held


def unspent(standing: Standing, limits: Limits, now_ms: int) -> int:
    """What the tightest budget would still pay if all that is held came back: below 0 after an overrun."""
    draft = Draft(standing)
    draft.open(now_ms)
    return min(
        budget - spent(draft, period, now_ms)
        for period in PERIODS
        if (budget := limits.of(period.limit)) is not None
    )


def affordable_output(requested: int, room_nanousd: int, *, input_pico: int, token_pico: int) -> int:
    """The output maximum to ask for: `requested`, or what `room_nanousd` pays beside the input; 0 where not one token.

    `room_nanousd` is `unspent`, the least of those of all principals: money that others hold never lowers an answer. It
    is asked once, before `admit`, whose guards alone decide: the ask is then priced with the lowered maximum, and is
    refused as `IN_FLIGHT` where the money is merely held. For tools and structured outputs (which are never lowered),
    ask for `requested`; on 0 for that, or for one token where it is more than the whole budget: `admit` says which
    budget is used up and until when.

    Exact: `ceil((input + n x token) / 1000) <= room` if and only if `n <= (1000 x room - input) / token`. Where several
    candidates may serve, `input_pico` and `token_pico` are each the dearest one's; `token_pico` is of all `n` choices.
    """
    left = room_nanousd * PICO_PER_NANO - input_pico
    if left < 0:
        return 0
    return min(requested, left // token_pico) if token_pico else requested
