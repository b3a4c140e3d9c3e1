"""Edges of windows and periods, the last unit, clocks that differ and go back."""

from datetime import UTC, datetime

import pytest

from common.metering import window
from common.metering.apply import apply
from common.metering.decision import admit
from common.metering.plan import Plan
from common.metering.window import next_day, next_month, same_day, same_month
from common.model.limits import MAX_NANOUSD, Limit, Limits, Reason, Refused
from tests.unit.metering.requests import MIDNIGHT, NOON, Row


@pytest.mark.parametrize(
    ("first", "then", "free"),
    [
        (0, 59_999, 0),
        (0, 60_000, 0),
        (0, 69_999, 0),
        (0, 70_000, 1),
        (4_999, 64_999, 0),
        (4_999, 69_999, 0),
        (4_999, 70_000, 1),
        (5_000, 70_000, 0),
        (5_000, 75_000, 1),
        (0, 86_400_000, 1),
    ],
)
def test_a_place_frees_when_its_sub_window_and_thirteen_more_are_over(
    first: int, then: int, free: int
) -> None:
    """M1: what was admitted in a sub-window counts in it and in the 13 that follow."""
    row = Row(Limits(requests_per_minute=1))
    row.admits(NOON + first)
    assert isinstance(row.tries(NOON + then), Plan) == bool(free)


@pytest.mark.parametrize(("first", "wait"), [(0, 70_000), (1, 69_999), (4_999, 65_001)])
def test_a_refused_request_is_told_the_first_instant_at_which_it_passes(first: int, wait: int) -> None:
    """M6: the time to wait is exact."""
    row = Row(Limits(requests_per_minute=1))
    row.admits(NOON + first)
    refused = row.refuses(NOON + first)
    assert refused == Refused(Reason.USED_UP, Limit.REQUESTS_PER_MINUTE, 1, wait)
    row.refuses(NOON + first + wait - 1)
    row.admits(NOON + first + wait)


def test_sixty_of_sixty_requests_pass_and_no_more() -> None:
    """M1: the limit is reached exactly, in one burst or spread over the window."""
    row = Row(Limits(requests_per_minute=60))
    for nth in range(60):
        row.admits(NOON + nth * 900)
    assert row.refuses(NOON + 54_000).retry_after_ms == 16_000


@pytest.mark.parametrize("ahead", [-2_000, 2_000])
@pytest.mark.parametrize("late", [0, 1_000])
@pytest.mark.parametrize("start", range(0, 5_000, 250))
def test_clocks_that_differ_never_let_one_too_many_into_a_minute(start: int, late: int, ahead: int) -> None:
    """M1: with clocks 4 s apart and a write 1 s late, a place is not given again within 60 s of true time."""
    row = Row(Limits(requests_per_minute=1))
    row.admits(NOON + start - ahead - late)  # applied at `start`
    row.refuses(NOON + start + 60_000 + ahead)


def test_without_the_fourteenth_sub_window_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """M1: the one that is counted for clocks that differ is needed."""
    monkeypatch.setattr(window, "COUNTED", 13)
    row = Row(Limits(requests_per_minute=1))
    row.admits(NOON + 4_999)  # at 6,999 by a clock that is 2 s slow
    row.admits(NOON + 65_000)  # at 63,000 by a clock that is 2 s fast


@pytest.mark.parametrize("back", [1, 2_000, 60_000, 3_600_000])
def test_a_clock_that_goes_back_books_in_the_open_sub_window(back: int) -> None:
    """M1: the row's time never goes back, whatever a clock shows."""
    row = Row(Limits(requests_per_minute=2))
    row.admits(NOON)
    row.admits(NOON - back)
    assert (row["sub_window"], row["requests_" + str(NOON // 5_000 % 14)]) == (NOON // 5_000, 2)
    assert row.refuses(NOON - back).retry_after_ms == 70_000 + back


LAST_UNIT = [
    (Limits(requests_per_minute=3), 0, 0),
    (Limits(tokens_per_minute=30), 0, 10),
    (Limits(requests_per_day=3), 0, 0),
    (Limits(tokens_per_day=30), 0, 10),
    (Limits(max_parallel=3), 0, 0),
    (Limits(budget_day=30), 10, 0),
    (Limits(budget_month=30), 10, 0),
    (Limits(budget_total=30), 10, 0),
]


@pytest.mark.parametrize(
    ("limits", "cost", "tokens"),
    LAST_UNIT,
    ids=[next(n for n in Limit if case[0].of(n) not in {None, MAX_NANOUSD}) for case in LAST_UNIT],
)
@pytest.mark.parametrize("later", [0, 5_000], ids=["same sub-window", "next sub-window"])
def test_the_last_unit_is_given_once(limits: Limits, cost: int, tokens: int, later: int) -> None:
    """M1, M2: of two plans for the last unit, made from the same standing, only one can be applied."""
    row = Row(limits)
    row.admits(NOON, cost, tokens)
    row.admits(NOON, cost, tokens)
    seen, now = row.standing, NOON + later
    rivals = [admit(seen, limits, row.ask(now, cost, tokens), now) for _ in range(2)]
    assert all(isinstance(rival, Plan) for rival in rivals)
    one, other = (rival for rival in rivals if isinstance(rival, Plan))
    row.writes(one)
    assert apply(row.standing, other) is None
    row.refuses(now, cost, tokens)


PERIOD_ENDS = [
    ("day", Limits(requests_per_day=1), Limit.REQUESTS_PER_DAY, NOON, NOON + 43_200_000),
    ("day of tokens", Limits(tokens_per_day=10), Limit.TOKENS_PER_DAY, NOON, NOON + 43_200_000),
    ("budget of a day", Limits(budget_day=10), Limit.BUDGET_DAY, NOON, NOON + 43_200_000),
    ("budget of December", Limits(budget_month=10), Limit.BUDGET_MONTH, NOON, MIDNIGHT),
    ("budget of January", Limits(budget_month=10), Limit.BUDGET_MONTH, MIDNIGHT, MIDNIGHT + 31 * 86_400_000),
]


@pytest.mark.parametrize(
    ("limits", "limit", "now", "end"), [p[1:] for p in PERIOD_ENDS], ids=[p[0] for p in PERIOD_ENDS]
)
def test_a_period_begins_at_zero_and_not_a_millisecond_before(
    limits: Limits, limit: Limit, now: int, end: int
) -> None:
    """M2, M6: what is used up until the end of a period is so to the last millisecond of it."""
    row = Row(limits)
    row.settles(row.admits(now, 10, 10), 10, 10, now)
    used_up = Refused(Reason.USED_UP, limit, limits.of(limit) or 0, end - now)
    assert row.refuses(now, 10, 10) == used_up
    assert row.refuses(end - 1, 10, 10).retry_after_ms == 1
    row.admits(end, 10, 10)
    row.refuses(end, 10, 10)


def test_a_total_budget_comes_back_never() -> None:
    """M6: where waiting does not help, no time is told."""
    row = Row(Limits(budget_total=10))
    row.settles(row.admits(NOON, 10), 10, 0, NOON)
    assert row.refuses(NOON, 10) == Refused(Reason.USED_UP, Limit.BUDGET_TOTAL, 10, None)


def test_a_midnight_that_one_clock_has_seen_is_over_for_all() -> None:
    """M2: after the day has turned by the first clock, a slower one books in the new day too."""
    row = Row(Limits(budget_day=10))
    row.admits(MIDNIGHT, 6)
    assert row.refuses(MIDNIGHT - 2_000, 6).reason is Reason.IN_FLIGHT
    row.admits(MIDNIGHT - 2_000, 4)
    assert row["committed_day"] == 10


@pytest.mark.parametrize(
    ("limits", "cost", "tokens", "limit"),
    [
        (Limits(tokens_per_minute=10), 0, 11, Limit.TOKENS_PER_MINUTE),
        (Limits(tokens_per_day=10), 0, 11, Limit.TOKENS_PER_DAY),
        (Limits(budget_month=10), 11, 0, Limit.BUDGET_MONTH),
        (Limits(requests_per_minute=0), 0, 0, Limit.REQUESTS_PER_MINUTE),
        (Limits(max_parallel=0), 0, 0, Limit.MAX_PARALLEL),
        (Limits(), MAX_NANOUSD + 1, 0, Limit.BUDGET_TOTAL),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_larger_than_a_limit_is_refused_for_good(
    limits: Limits, cost: int, tokens: int, limit: Limit
) -> None:
    """M6: it will never pass, so no time is told."""
    refused = Row(limits).refuses(NOON, cost, tokens)
    assert (refused.reason, refused.limit, refused.retry_after_ms) == (Reason.TOO_LARGE, limit, None)


def test_of_several_limits_the_one_that_takes_longest_tells() -> None:
    """M6: after the wait that is told, all of them have room."""
    row = Row(Limits(requests_per_minute=1, requests_per_day=1, max_parallel=1, budget_day=10))
    row.admits(NOON, 10)
    refused = row.refuses(NOON, 1)
    assert (refused.limit, refused.retry_after_ms) == (Limit.REQUESTS_PER_DAY, 43_200_000)


def test_parallel_requests_wait_for_each_other() -> None:
    """M6: room comes when another request is settled, so the wait is a second."""
    row = Row(Limits(max_parallel=1))
    hold = row.admits(NOON)
    assert row.refuses(NOON) == Refused(Reason.IN_FLIGHT, Limit.MAX_PARALLEL, 1, 1_000)
    row.settles(hold, 0, 0, NOON)
    row.admits(NOON)


def test_money_that_is_merely_held_is_waited_for() -> None:
    """M7: only money that is spent is used up."""
    row = Row(Limits(budget_total=10))
    hold = row.admits(NOON, 6)
    assert row.refuses(NOON, 6) == Refused(Reason.IN_FLIGHT, Limit.BUDGET_TOTAL, 10, 1_000)
    row.settles(hold, 5, 0, NOON)
    assert row.refuses(NOON, 6).reason is Reason.USED_UP
    row.admits(NOON, 5)


@pytest.mark.parametrize("day", ["2027-01-31", "2027-02-28", "2028-02-29", "2027-12-31", "2027-04-30"])
def test_a_month_ends_with_its_last_day(day: str) -> None:
    """Periods are those of the calendar."""
    last = int(datetime.fromisoformat(f"{day}T23:59:55+00:00").astimezone(UTC).timestamp()) // 5
    assert next_day(last) == next_month(last) == last + 1
    assert same_day(last, last - 17_279)
    assert same_month(last, last - 27 * 17_280)
    assert not same_day(last, last + 1)
    assert not same_month(last, last + 1)


@pytest.mark.parametrize("value", [-1, MAX_NANOUSD + 1, 2**53 + 1])
def test_a_limit_that_no_store_can_hold_is_refused(value: int) -> None:
    """D1's numbers end at 2^53 nano-dollars, $9 million."""
    with pytest.raises(ValueError, match="budget_total"):
        Limits(budget_total=value)
