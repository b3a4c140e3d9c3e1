"""M7: a budget is usable to its end, and an answer is shortened only for money that is spent."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metering.budget import affordable_output, unspent
from common.metering.plan import Plan
from common.metering.price import InputBound, input_pico, output_pico, worst_case
from common.model.limits import MAX_NANOUSD, Limits, Reason
from common.model.price import Prices
from tests.unit.metering.requests import MIDNIGHT, NOON, Row


@given(
    requested=st.integers(1, 10**6),
    room=st.integers(-100, 10**9),
    prices=st.builds(Prices, input=st.integers(0, 10**7), output=st.integers(0, 10**7)),
    text=st.integers(0, 10**5),
)
@settings(derandomize=True, database=None, deadline=None)
def test_the_lowered_maximum_is_the_largest_that_fits(
    requested: int, room: int, prices: Prices, text: int
) -> None:
    """M7: it costs no more than is left, and one token more would, or is more than was asked for."""
    bound = InputBound(text, 0)
    token = output_pico(prices, audio=False)
    lowered = affordable_output(requested, room, input_pico=input_pico(prices, bound), token_pico=token)
    assert 0 <= lowered <= requested
    if lowered:
        assert worst_case([prices], bound, lowered) <= room
    if lowered < requested:
        assert worst_case([prices], bound, lowered + 1) > room


def test_money_that_is_held_does_not_lower_an_answer() -> None:
    """M7: what is unspent is counted as if all that is held came back."""
    row = Row(Limits(budget_day=100, budget_total=1_000))
    hold = row.admits(NOON, 80)
    assert unspent(row.standing, row.limits, NOON) == 100
    row.settles(hold, 30, 0, NOON)
    assert unspent(row.standing, row.limits, NOON) == 70


def test_money_of_an_expired_hold_is_spent() -> None:
    """M4: whether it was swept or is about to be."""
    row = Row(Limits(budget_total=100))
    row.admits(NOON, 80, lifetime_ms=20_000)
    assert unspent(row.standing, row.limits, NOON + 19_999) == 100
    assert unspent(row.standing, row.limits, NOON + 20_000) == 20


def test_a_new_period_is_unspent_but_for_the_total() -> None:
    """The tightest budget tells."""
    row = Row(Limits(budget_day=50, budget_month=60, budget_total=70))
    row.settles(row.admits(MIDNIGHT - 1, 40), 40, 0, MIDNIGHT - 1)
    assert unspent(row.standing, row.limits, MIDNIGHT - 1) == 10
    assert unspent(row.standing, row.limits, MIDNIGHT) == 30
    assert unspent(Row().standing, Limits(), NOON) == MAX_NANOUSD


@pytest.mark.parametrize("seed", range(5))
def test_two_hundred_clients_that_retry_spend_95_percent(seed: int) -> None:
    """M7: of a budget of 20 smallest holds, whatever the answers cost in the end; and never more than all of it."""
    rng = random.Random(seed)
    smallest, budget = 1_000, 20_000
    row, now, open_ = Row(Limits(budget_total=budget)), NOON, []
    waiting = [rng.randrange(smallest, 3 * smallest) for _ in range(199)] + [smallest]
    while waiting:
        for cost in rng.sample(waiting, len(waiting)):
            verdict = row.tries(now, cost)
            if isinstance(verdict, Plan):
                row.writes(verdict)
                assert verdict.hold
                open_.append(verdict.hold)
            elif verdict.reason is Reason.USED_UP:
                waiting.remove(cost)  # for good; whoever is told "in flight" asks again in a second
        for hold in rng.sample(open_, min(2, len(open_))):
            open_.remove(hold)
            row.settles(hold, rng.randrange(hold.cost_nanousd // 5, hold.cost_nanousd + 1), 0, now)
        now += 1_000
    assert 0.95 * budget <= row["committed_total"] <= budget
