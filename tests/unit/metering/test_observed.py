"""Limits that are only observed: they count as ever, refuse nothing, and tell what they would have refused."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.adapters.memory import MemoryRows
from common.metering.apply import apply
from common.metering.checks import asked_of
from common.metering.headroom import headroom
from common.metering.meter import LimitMeter
from common.metering.plan import Plan
from common.metering.standing import Hold
from common.metering.watch import Alert, Observed, observed
from common.model.limits import MAX_NANOUSD, Headroom, Limit, Limits, Refused
from tests.support.metered import KEY, USER, Instance, World, principal
from tests.unit.metering.requests import MIDNIGHT, Row

TIGHT: Final = Limits(
    requests_per_minute=3,
    tokens_per_minute=25,
    requests_per_day=5,
    tokens_per_day=60,
    max_parallel=2,
    budget_day=100,
    budget_month=150,
    budget_total=180,
)
ROOM_FOR_ONE: Final = {
    Limit.REQUESTS_PER_MINUTE: Limits(requests_per_minute=1),
    Limit.TOKENS_PER_MINUTE: Limits(tokens_per_minute=15),
    Limit.REQUESTS_PER_DAY: Limits(requests_per_day=1),
    Limit.TOKENS_PER_DAY: Limits(tokens_per_day=15),
    Limit.MAX_PARALLEL: Limits(max_parallel=1),
    Limit.BUDGET_DAY: Limits(budget_day=15),
    Limit.BUDGET_MONTH: Limits(budget_month=15),
    Limit.BUDGET_TOTAL: Limits(budget_total=15),
}
REQUESTS: Final = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 5_000, 30_000, 70_000, 43_200_000]),  # time that passes before it
        st.sampled_from([0, 1, 30, 60, 200]),  # its cost
        st.sampled_from([0, 1, 10, 30]),  # its tokens
        st.sampled_from([None, 0, 1]),  # which of the open ones is settled before it
    ),
    max_size=30,
)


def only_observed(limits: Limits) -> Limits:
    """The same limits, none of them enforced."""
    return replace(limits, observed=frozenset(Limit))


@given(requests=REQUESTS)
def test_counts_and_tells_as_if_enforced(requests: list[tuple[int, int, int, int | None]]) -> None:
    """While nothing is refused, rows are equal; and what one refuses, the other tells, for exactly those requests."""
    enforcing, observing = Row(TIGHT), Row(only_observed(TIGHT))
    now, open_holds = MIDNIGHT - 50_000, list[Hold]()
    for wait, cost, tokens, ended in requests:
        now += wait
        if ended is not None and len(open_holds) > ended:
            hold = open_holds.pop(ended)
            for row in (enforcing, observing):
                row.settles(hold, hold.cost_nanousd // 2, hold.tokens, now)
        verdict, plan = enforcing.tries(now, cost, tokens), observing.tries(now, cost, tokens)
        assert isinstance(plan, Plan), "an observed limit refused"
        after = apply(observing.standing, plan)
        assert after is not None
        told = observed(after, observing.limits, asked_of(tokens, cost))
        if isinstance(verdict, Refused):
            assert verdict.limit in told
            continue
        assert told == ()
        assert plan.hold is not None
        open_holds.append(plan.hold)
        enforcing.writes(verdict)
        observing.writes(plan)
        assert observing.standing == enforcing.standing


@given(requests=REQUESTS)
def test_nothing_is_refused(requests: list[tuple[int, int, int, int | None]]) -> None:
    """A principal whose limits are all observed is admitted whatever it has used."""
    row, now = Row(only_observed(TIGHT)), MIDNIGHT - 50_000
    for wait, cost, tokens, _ in requests:
        now += wait
        row.admits(now, cost, tokens)


@pytest.fixture
def alerts() -> list[Alert]:
    """What the meter told."""
    return []


@pytest.fixture
def world(alerts: list[Alert]) -> World:
    """With a meter that tells `alerts`."""
    return World(MemoryRows())


@pytest.fixture
def one(world: World, alerts: list[Alert]) -> Instance:
    """The instance under test."""
    instance = world.instance()
    instance.meter = LimitMeter(world.rows, instance.clock, alerts.append)
    return instance


@pytest.mark.parametrize("limit", Limit)
async def test_each_limit(one: Instance, alerts: list[Alert], limit: Limit) -> None:
    """The request that would have been refused is admitted, and its admission says by which limit; none before it."""
    who = principal(only_observed(ROOM_FOR_ONE[limit]))
    assert (await one.admit(who, cost=10, tokens=10)).observed == ()
    assert alerts == []
    admission = await one.admit(who, cost=10, tokens=10)
    assert admission.observed == (limit,)
    assert alerts == [Observed(KEY, admission.ask.request_id, (limit,))]
    enforced = principal(ROOM_FOR_ONE[limit], key_id="key_2")
    await one.admit(enforced, cost=10, tokens=10)
    assert (await one.refuses(enforced, cost=10, tokens=10)).limit is limit


async def test_beside_limits_that_are_enforced(one: Instance, alerts: list[Alert]) -> None:
    """Key and user each tell their own; what is enforced beside them refuses as ever, and then nothing is told."""
    mixed = Limits(requests_per_day=1, max_parallel=2, observed=frozenset({Limit.REQUESTS_PER_DAY}))
    who = principal(mixed, only_observed(Limits(requests_per_day=1, tokens_per_day=5)))
    await one.admit(who, tokens=5)
    admission = await one.admit(who, tokens=5)
    assert admission.observed == (Limit.REQUESTS_PER_DAY, Limit.TOKENS_PER_DAY)
    assert [(type(alert), alert.row) for alert in alerts] == [(Observed, KEY), (Observed, USER)]
    assert (await one.refuses(who)).limit is Limit.MAX_PARALLEL
    assert len(alerts) == 2


async def test_free_requests_are_not_told_of(one: Instance) -> None:
    """A limit of which nothing is asked does not bind, so it would not have refused either."""
    who = principal(only_observed(Limits(budget_day=10, tokens_per_day=10)))
    await one.admit(who, cost=50, tokens=50)
    assert (await one.admit(who)).observed == ()


def test_who_is_only_observed_is_not_bound_by_money() -> None:
    """Such a principal may reach targets without a price, yet has a row in which its requests count."""
    who = principal(only_observed(Limits(budget_day=10)))
    assert not who.bound_by_money
    assert list(who.limits) == [KEY]
    beside = principal(Limits(budget_day=10, budget_total=10, observed=frozenset({Limit.BUDGET_DAY})))
    assert beside.bound_by_money


async def test_no_answer_tells_a_client_of_an_observed_limit(one: Instance) -> None:
    """`x-ratelimit-*` are for limits that hold; money that is only observed lowers no answer."""
    limits = replace(
        only_observed(Limits(requests_per_minute=1, tokens_per_day=5, budget_day=9)), budget_total=100
    )
    limits = replace(limits, observed=limits.observed - {Limit.BUDGET_TOTAL})
    admission = await one.admit(principal(limits), cost=10, tokens=10)
    assert admission.headroom == Headroom(None, None)
    assert (await one.refuses(principal(limits), cost=95)).room_nanousd == 100
    row = Row(limits)
    row.admits(MIDNIGHT, 10, 10)
    assert headroom(row.standing, limits, MIDNIGHT) == Headroom(None, None)


async def test_the_sum_of_all_money_is_bounded_all_the_same(one: Instance) -> None:
    """No sum passes what D1 can store, though the total is only observed."""
    who = principal(only_observed(Limits(budget_total=10)))
    await one.admit(who, cost=MAX_NANOUSD)
    assert (await one.refuses(who, cost=1)).limit is Limit.BUDGET_TOTAL
