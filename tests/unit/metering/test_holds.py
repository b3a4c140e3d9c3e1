"""Holds: settled once, extended within the budget, expired but never given back."""

import pytest

from common.metering.apply import apply
from common.metering.decision import UNSENT, Actual, admit, correct, extend, settle, sweep, withdraw
from common.metering.plan import SWEPT_AT_ONCE, Plan
from common.metering.standing import EMPTY
from common.model.limits import Limit, Limits, Reason, Refused
from tests.unit.metering.requests import MIDNIGHT, NOON, Row

SLOT = NOON // 5_000 % 14


def test_a_settlement_replaces_what_was_held() -> None:
    """M3: money and tokens become the actual ones, where they were booked."""
    row = Row()
    row.settles(row.admits(NOON, 100, 50), 30, 20, NOON + 4_000)
    assert (row["committed_day"], row["committed_month"], row["committed_total"]) == (30, 30, 30)
    assert (row[f"tokens_{SLOT}"], row["day_tokens"], row["in_flight"]) == (20, 20, 0)
    assert row.standing.holds == {}


def test_a_settlement_applied_twice_counts_once() -> None:
    """M3: planned again or delivered again, it changes nothing."""
    row = Row()
    hold = row.admits(NOON, 100, 50)
    plan = settle(row.standing, hold.id, Actual(30, 20), NOON)
    row.writes(plan)
    settled = row.standing
    assert apply(settled, plan) is None
    row.settles(hold, 30, 20, NOON)
    assert row.standing == settled


def test_a_settlement_that_does_not_see_its_hold_asks_the_row() -> None:
    """M3: a standing from before the admission proves nothing, so the plan's guard fails and it is made again."""
    row = Row()
    hold = row.admits(NOON, 100)
    blind = settle(EMPTY, hold.id, Actual(30, 0), NOON)
    assert apply(row.standing, blind) is None


def test_tokens_go_back_to_the_sub_window_they_were_taken_from() -> None:
    """M1: a closed sub-window keeps its requests, and of its tokens only what was used."""
    row = Row()
    hold = row.admits(NOON, 0, 50)
    row.admits(NOON + 65_000, 0, 7)
    row.settles(hold, 0, 20, NOON + 65_000)
    assert (row[f"tokens_{SLOT}"], row[f"requests_{SLOT}"], row["day_tokens"]) == (20, 1, 27)


def test_tokens_of_a_sub_window_that_is_gone_go_back_nowhere() -> None:
    """M1: its place in the ring belongs to another; the day gets them back."""
    row = Row()
    hold = row.admits(NOON, 0, 50)
    row.admits(NOON + 70_000, 0, 7)
    row.settles(hold, 0, 20, NOON + 70_000)
    assert (row[f"tokens_{SLOT}"], row["day_tokens"]) == (7, 27)


def test_a_settlement_planned_before_the_ring_came_round_is_planned_again() -> None:
    """M1: its guard knows how long the slot is the sub-window's own."""
    row = Row()
    hold = row.admits(NOON, 0, 50)
    plan = settle(row.standing, hold.id, Actual(0, 20), NOON)
    row.admits(NOON + 70_000, 0, 7)
    assert apply(row.standing, plan) is None


def test_more_tokens_than_estimated_count_in_the_open_sub_window() -> None:
    """M1: the excess counts from when it is known."""
    row = Row(Limits(tokens_per_minute=60))
    row.settles(row.admits(NOON, 0, 50), 0, 60, NOON + 30_000)
    assert (row[f"tokens_{SLOT}"], row[f"tokens_{(SLOT + 6) % 14}"], row["day_tokens"]) == (50, 10, 60)
    assert row.refuses(NOON + 70_000, 0, 51).retry_after_ms == 30_000


@pytest.mark.parametrize(
    ("settled", "day", "month"),
    [(MIDNIGHT - 1, 30, 30), (MIDNIGHT, 0, 0)],
    ids=["before midnight", "after midnight"],
)
def test_money_is_settled_in_the_period_it_was_held_in(settled: int, day: int, month: int) -> None:
    """M2: a period that is over takes its holds with it; the total has them all."""
    row = Row()
    hold = row.admits(MIDNIGHT - 2_000, 100)
    row.admits(settled)
    row.settles(hold, 30, 0, settled)
    assert (row["committed_day"], row["committed_month"], row["committed_total"]) == (day, month, 30)


def test_a_settlement_planned_before_midnight_is_planned_again_after() -> None:
    """M2: what is given back must not be taken from the new day."""
    row = Row()
    hold = row.admits(MIDNIGHT - 2_000, 100)
    plan = settle(row.standing, hold.id, Actual(30, 0), MIDNIGHT - 1)
    row.admits(MIDNIGHT, 50)
    assert apply(row.standing, plan) is None
    row.settles(hold, 30, 0, MIDNIGHT - 1)
    assert (row["committed_day"], row["committed_total"]) == (50, 80)


def test_an_overrun_counts_against_later_admissions() -> None:
    """M2: what was billed is committed though it passes the budget, and then nothing that costs is admitted."""
    row = Row(Limits(budget_day=100))
    row.settles(row.admits(NOON, 90), 120, 0, NOON)
    assert row["committed_day"] == 120
    assert row.refuses(NOON, 1).reason is Reason.USED_UP
    row.admits(NOON, 0)


def test_usage_never_credits() -> None:
    """M2: there is no negative usage to settle with."""
    with pytest.raises(ValueError, match="negative"):
        Actual(-1, 0)
    with pytest.raises(ValueError, match="negative"):
        Actual(0, -1)


def test_a_request_that_was_never_sent_is_released() -> None:
    """M4: money and tokens come back; the request was admitted and stays counted."""
    row = Row()
    hold = row.admits(NOON, 100, 50)
    row.writes(settle(row.standing, hold.id, UNSENT, NOON))
    assert (row["committed_total"], row["day_tokens"], row["day_requests"]) == (0, 0, 1)


@pytest.mark.parametrize(("later", "counted"), [(0, 0), (4_999, 0), (5_000, 1)])
def test_an_admission_that_another_limit_made_void_is_withdrawn(later: int, counted: int) -> None:
    """M1: its request is taken back too, unless its sub-window is closed: closed counts never change."""
    row = Row()
    hold = row.admits(NOON, 100, 50)
    row.admits(NOON + later)
    row.writes(withdraw(row.standing, hold.id, NOON + later))
    others = int(later < 5_000)
    assert row[f"requests_{SLOT}"] == counted + others
    assert (row["day_requests"], row["committed_total"], row["day_tokens"]) == (1, 0, 0)
    assert withdraw(row.standing, hold.id, NOON).holds == {hold.id: None}


def test_what_is_withdrawn_after_midnight_is_not_taken_from_the_new_day() -> None:
    """M1, M2: only the total has it back."""
    row = Row()
    hold = row.admits(MIDNIGHT - 1, 100, 50)
    row.admits(MIDNIGHT, 7, 5)
    row.writes(withdraw(row.standing, hold.id, MIDNIGHT))
    assert (row["day_requests"], row["day_tokens"], row["committed_day"], row["committed_total"]) == (
        1,
        5,
        7,
        7,
    )


def test_an_admission_tried_again_is_the_same_admission() -> None:
    """M3: after a lost reply, the hold that is there is the answer."""
    row = Row()
    ask = row.ask(NOON, 100, 50)
    first = admit(row.standing, row.limits, ask, NOON)
    assert isinstance(first, Plan)
    row.writes(first)
    admitted = row.standing
    assert apply(admitted, first) is None
    again = admit(admitted, row.limits, ask, NOON)
    assert isinstance(again, Plan)
    assert (apply(admitted, again), again.hold) == (admitted, first.hold)


@pytest.mark.parametrize("off", [-1, 0], ids=["the last ms", "its second"])
def test_an_expired_hold_stays_committed(off: int) -> None:
    """M4: the next admission books it as spent, asks for its record, and no longer counts it as parallel."""
    row = Row(Limits(max_parallel=1, budget_total=150))
    hold = row.admits(NOON, 100, 50, lifetime_ms=60_000)
    now = NOON + 60_000 + off
    if off < 0:
        assert row.refuses(now).limit is Limit.MAX_PARALLEL
        return
    plan = row.tries(now)
    assert isinstance(plan, Plan)
    assert plan.swept == (hold,)
    row.writes(plan)
    assert hold.id not in row.standing.holds
    assert (row["in_flight"], row["committed_total"]) == (1, 100)
    assert row.refuses(now, 60).reason is Reason.USED_UP


def test_a_late_settlement_corrects_what_was_swept() -> None:
    """M4: the estimate gives way to what was used, in the periods that still count it."""
    row = Row()
    hold = row.admits(NOON, 100, 50, lifetime_ms=20_000)
    row.writes(sweep(row.standing, NOON + 20_000))
    assert row["committed_total"] == 100
    late = settle(row.standing, hold.id, Actual(30, 20), NOON + 21_000)
    assert apply(row.standing, late) == row.standing
    row.writes(correct(row.standing, hold, Actual(30, 20), NOON + 21_000))
    assert (row["committed_day"], row["committed_month"], row["committed_total"]) == (30, 30, 30)
    assert (row[f"tokens_{SLOT}"], row["day_tokens"]) == (20, 20)


def test_a_correction_waits_until_the_hold_is_gone() -> None:
    """M3: while the hold is in the row, settling is what ends it."""
    row = Row()
    hold = row.admits(NOON, 100)
    assert apply(row.standing, correct(row.standing, hold, Actual(30, 0), NOON)) is None


def test_a_sweep_takes_what_one_transaction_can_and_the_next_the_rest() -> None:
    """M4: the oldest first, each once."""
    row = Row()
    for nth in range(SWEPT_AT_ONCE + 1):
        row.admits(NOON + nth * 1_000, lifetime_ms=100_000)
    now = NOON + 200_000
    first, second = sweep(row.standing, now), None
    row.writes(first)
    second = sweep(row.standing, now)
    row.writes(second)
    assert (len(first.swept), len(second.swept), row["in_flight"]) == (SWEPT_AT_ONCE, 1, 0)
    assert max(hold.id for hold in first.swept) < second.swept[0].id


def test_an_extension_raises_the_hold_within_the_budget() -> None:
    """M2: what another attempt may cost is added to the hold, or refused."""
    row = Row(Limits(budget_day=100))
    hold = row.admits(NOON, 40)
    plan = extend(row.standing, row.limits, hold, 60, NOON)
    assert isinstance(plan, Plan)
    row.writes(plan)
    assert plan.hold
    assert (plan.hold.cost_nanousd, row["committed_day"], row["day_requests"]) == (100, 100, 1)
    refused = extend(row.standing, row.limits, plan.hold, 1, NOON)
    assert refused == Refused(Reason.IN_FLIGHT, Limit.BUDGET_DAY, 100, 1_000)
    row.settles(plan.hold, 70, 0, NOON)
    assert row["committed_day"] == 70


def test_an_extension_from_a_stale_standing_does_not_pass_the_budget() -> None:
    """M2: what others were given meanwhile is guarded against."""
    row = Row(Limits(budget_day=100))
    hold = row.admits(NOON, 40)
    plan = extend(row.standing, row.limits, hold, 60, NOON)
    assert isinstance(plan, Plan)
    row.admits(NOON, 1)
    assert apply(row.standing, plan) is None
    assert isinstance(extend(row.standing, row.limits, hold, 60, NOON), Refused)


def test_an_extension_tried_again_is_the_same_extension() -> None:
    """M3: the caller's hold says up to where it goes."""
    row = Row()
    hold = row.admits(NOON, 40)
    for _ in range(2):
        plan = extend(row.standing, row.limits, hold, 60, NOON)
        assert isinstance(plan, Plan)
        row.writes(plan)
        assert plan.hold
        assert plan.hold.cost_nanousd == 100
    assert row["committed_total"] == 100


def test_a_hold_that_is_gone_is_not_extended() -> None:
    """M4: after a sweep its money is spent; the plan asks the row, and nothing is held."""
    row = Row()
    hold = row.admits(NOON, 40, lifetime_ms=20_000)
    row.writes(sweep(row.standing, NOON + 20_000))
    plan = extend(row.standing, row.limits, hold, 60, NOON + 20_000)
    assert plan == Plan(holds={hold.id: None})


@pytest.mark.parametrize("budget", [140, 139])
def test_an_extension_on_a_later_day_is_booked_in_that_day_as_a_whole(budget: int) -> None:
    """M2: the new day pays for the hold and the extension; the total only for the extension."""
    row = Row(Limits(budget_day=budget))
    hold = row.admits(MIDNIGHT - 86_400_000 - 1, 80, 5)
    now = MIDNIGHT - 86_400_000
    plan = extend(row.standing, row.limits, hold, 60, now)
    if budget < 140:
        assert isinstance(plan, Refused)
        assert plan.reason is Reason.TOO_LARGE
        return
    assert isinstance(plan, Plan)
    row.writes(plan)
    assert (row["committed_day"], row["committed_month"], row["committed_total"]) == (140, 140, 140)
    assert plan.hold
    row.settles(plan.hold, 50, 5, now)
    assert (row["committed_day"], row["committed_month"], row["committed_total"]) == (50, 50, 50)
    assert row["day_tokens"] == 5
