"""How far limits are used, for whoever is bound by them. Pure.

Of what counts against a limit, `held` is what the requests that are running may give back, and `used` is the rest. A
request itself is used as soon as it is admitted; of tokens and money the estimate is held, as long as its hold is open.
"""

from collections.abc import Sequence

from common.metering.budget import PERIODS, Period, spent
from common.metering.headroom import minute
from common.metering.plan import Draft
from common.metering.standing import DAY_REQUESTS, DAY_TOKENS, Hold, Standing
from common.metering.window import (
    COUNTED,
    REQUESTS,
    SUB_WINDOW_MS,
    TOKENS,
    next_day,
    next_month,
    same_day,
    used,
)
from common.model.limits import Limit, Limits, LimitStanding


def report(standing: Standing, limits: Limits, now_ms: int) -> Sequence[LimitStanding]:
    """Of each limit that there is, enforced or only observed."""
    told = _Report(standing, now_ms)
    stated = [(limit, value) for limit in Limit if (value := limits.stated(limit)) is not None]
    return [told.of(limit, value, is_enforced=limit not in limits.observed) for limit, value in stated]


class _Report:
    """A row as it is once something is booked at `now_ms`."""

    def __init__(self, standing: Standing, now_ms: int) -> None:
        self._draft = Draft(standing)
        self._draft.open(now_ms)
        self._alive = standing.alive(now_ms)
        self._now_ms = now_ms

    def of(self, limit: Limit, value: int, *, is_enforced: bool) -> LimitStanding:
        """One limit."""
        count, held, resets_ms = self._counted(limit, value)
        return LimitStanding(limit, is_enforced, value, count - held, held, max(0, value - count), resets_ms)

    def _counted(self, limit: Limit, value: int) -> tuple[int, int, int | None]:
        """What counts, what of it is held, and in how long it resets."""
        counts, index = self._draft.counts, self._draft.index
        match limit:
            case Limit.REQUESTS_PER_MINUTE:
                return used(counts, REQUESTS, index), 0, self._window_resets(REQUESTS, value)
            case Limit.TOKENS_PER_MINUTE:
                held = [hold for hold in self._alive if index - hold.sub_window < COUNTED]
                return used(counts, TOKENS, index), _tokens(held), self._window_resets(TOKENS, value)
            case Limit.REQUESTS_PER_DAY:
                return counts[DAY_REQUESTS], 0, self._until(next_day(index))
            case Limit.TOKENS_PER_DAY:
                held = [hold for hold in self._alive if same_day(hold.sub_window, index)]
                return counts[DAY_TOKENS], _tokens(held), self._until(next_day(index))
            case Limit.MAX_PARALLEL:
                return len(self._alive), len(self._alive), None
            case _:
                period = next(each for each in PERIODS if each.limit is limit)
                committed = counts[period.committed]
                return committed, committed - spent(self._draft, period, self._now_ms), self._ends(period)

    def _window_resets(self, names: tuple[str, ...], value: int) -> int:
        room = minute(self._draft.counts, names, value, self._now_ms)
        return 0 if room is None else room.reset_ms

    def _ends(self, period: Period) -> int | None:
        match period.limit:
            case Limit.BUDGET_DAY:
                return self._until(next_day(self._draft.index))
            case Limit.BUDGET_MONTH:
                return self._until(next_month(self._draft.index))
            case _:
                return None

    def _until(self, sub_window: int) -> int:
        return sub_window * SUB_WINDOW_MS - self._now_ms


def _tokens(holds: Sequence[Hold]) -> int:
    return sum(hold.tokens for hold in holds)
