"""Budgets that run low, and overruns: what the meter tells, and how the log says it."""

import logging
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.adapters.memory import MemoryRows
from common.metering.alerts import LogAlerts
from common.metering.apply import apply
from common.metering.decision import Actual, settle
from common.metering.meter import LimitMeter
from common.metering.plan import Plan
from common.metering.standing import Hold
from common.metering.watch import Alert, Observed, Overrun, Threshold, thresholds
from common.model.ids import RequestId
from common.model.limits import Limit, Limits
from tests.support.metered import KEY, MIDNIGHT, NOON, USER, Instance, World, principal
from tests.unit.metering.requests import Row

HALF_AND_MOST: Final = Limits(budget_month=1_000, alerts=(50, 80))
ID: Final = RequestId("req_0000000000000001")


@pytest.fixture
def alerts() -> list[Alert]:
    """What the meters told."""
    return []


@pytest.fixture
def world() -> World:
    """At noon of the year's last day, with nobody in it."""
    return World(MemoryRows())


@pytest.fixture
def one(world: World, alerts: list[Alert]) -> Instance:
    """The instance under test."""
    return telling(world, alerts)


def telling(world: World, alerts: list[Alert]) -> Instance:
    """An instance that tells `alerts`."""
    instance = world.instance()
    instance.meter = LimitMeter(world.rows, instance.clock, alerts.append)
    return instance


def percents(alerts: list[Alert]) -> list[int]:
    """Of the thresholds that were told."""
    return [alert.percent for alert in alerts if isinstance(alert, Threshold)]


async def test_an_admission_passes_thresholds(one: Instance, alerts: list[Alert]) -> None:
    """Each is told by the one write that reached it, with what is spent and held by then."""
    who = principal(HALF_AND_MOST)
    await one.settle(await one.admit(who, cost=400), cost=400)
    await one.admit(who, cost=99)
    assert alerts == []
    await one.admit(who, cost=1)
    assert alerts == [Threshold(KEY, Limit.BUDGET_MONTH, "2026-12", 50, 400, 100, 1_000)]
    await one.admit(who, cost=1)
    await one.admit(who, cost=400)
    assert percents(alerts) == [50, 80]


async def test_a_write_that_passes_two(one: Instance, alerts: list[Alert]) -> None:
    """Both are told, and for key and user each."""
    await one.admit(principal(HALF_AND_MOST, HALF_AND_MOST), cost=900)
    told = [(alert.row, alert.percent) for alert in alerts if isinstance(alert, Threshold)]
    assert told == [(KEY, 50), (KEY, 80), (USER, 50), (USER, 80)]


async def test_each_period_by_its_name(world: World, one: Instance, alerts: list[Alert]) -> None:
    """Day, month and total are told apart, and a new period begins below all thresholds."""
    who = principal(Limits(budget_day=100, budget_month=150, budget_total=300, alerts=(50,)))
    for wait_ms, cost in ((0, 60), (MIDNIGHT - NOON, 70), (0, 5), (86_400_000, 40), (86_400_000, 20)):
        world.wait(wait_ms)
        await one.settle(await one.admit(who, cost=cost), cost=cost)
    assert [(alert.limit, alert.period) for alert in alerts if isinstance(alert, Threshold)] == [
        (Limit.BUDGET_DAY, "2026-12-31"),
        (Limit.BUDGET_DAY, "2027-01-01"),
        (Limit.BUDGET_MONTH, "2027-01"),
        (Limit.BUDGET_TOTAL, "total"),
    ]


async def test_of_several_instances_one_tells(world: World, alerts: list[Alert]) -> None:
    """M1 to M4 with many instances: a threshold is passed by one write, and told by whoever made it."""
    instances = [telling(world, alerts) for _ in range(4)]
    who = principal(HALF_AND_MOST)
    for nth in range(10):
        await instances[nth % 4].admit(who, cost=100)
    assert percents(alerts) == [50, 80]


@given(
    steps=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 500), st.booleans()), max_size=25),
    budget=st.integers(1, 1_000),
)
def test_as_often_as_it_is_passed(steps: list[tuple[int, int, bool]], budget: int) -> None:
    """Of any admissions and settlements: exactly what was below before a write and is not after it is told."""
    limits = Limits(budget_total=budget, alerts=(1, 50, 99))
    row, held = Row(limits), list[Hold]()
    for cost, used, ends in steps:
        before = row.standing.counts["committed_total"]
        if ends and held:
            plan: object = settle(row.standing, held.pop().id, Actual(used, 0), NOON)
        else:
            plan = row.tries(NOON, cost)
        if not isinstance(plan, Plan):
            continue
        after = apply(row.standing, plan)
        assert after is not None
        row.standing = after
        committed = after.counts["committed_total"]
        told = [each.percent for each in thresholds(KEY, after, limits, plan, NOON)]
        assert told == [p for p in limits.alerts if before * 100 < p * budget <= committed * 100]
        if plan.hold is not None:
            held.append(plan.hold)


async def test_all_of_it(one: Instance, alerts: list[Alert]) -> None:
    """100 is told from 99.5 % on: what is left then pays for nothing, and so is never used."""
    who = principal(Limits(budget_total=10_000, alerts=(100,)))
    await one.admit(who, cost=9_949)
    assert alerts == []
    await one.admit(who, cost=1)
    assert percents(alerts) == [100]


async def test_budgets_of_their_own(one: Instance, alerts: list[Alert]) -> None:
    """Nothing is told of a budget of nothing, nor of one whose plan has no alerts."""
    await one.admit(principal(Limits(budget_day=0, requests_per_day=5, alerts=(50,))))
    await one.admit(principal(Limits(budget_day=100), key_id="key_2"), cost=100)
    assert alerts == []


async def test_a_budget_that_is_only_observed(one: Instance, alerts: list[Alert]) -> None:
    """It is told of as the others are, and goes on beyond its end."""
    observing = Limits(budget_day=100, alerts=(80,), observed=frozenset({Limit.BUDGET_DAY}))
    for _ in range(3):
        await one.admit(principal(observing), cost=60)
    assert percents(alerts) == [80]
    assert sum(isinstance(alert, Observed) for alert in alerts) == 2


async def test_an_overrun(one: Instance, alerts: list[Alert]) -> None:
    """M2: told once, for each row with a budget; a threshold that it passes is told too."""
    who = principal(HALF_AND_MOST, Limits(requests_per_day=9))
    admission = await one.admit(who, cost=100)
    for _ in range(2):
        await one.settle(admission, cost=600)
    assert alerts == [
        Threshold(KEY, Limit.BUDGET_MONTH, "2026-12", 50, 600, 0, 1_000),
        Overrun(KEY, admission.ask.request_id, 100, 600),
    ]


async def test_an_overrun_that_is_settled_again(world: World, one: Instance, alerts: list[Alert]) -> None:
    """M3: who only ends a hold that an earlier settlement has left in one row tells of no overrun: that one has."""
    assert isinstance(world.rows, MemoryRows)
    admission = await one.admit(principal(HALF_AND_MOST, HALF_AND_MOST), cost=100)
    held = world.rows.standings[USER]
    await one.settle(admission, cost=200)
    world.rows.standings[USER] = held
    alerts.clear()
    await one.settle(admission, cost=200)
    assert world.rows.standings[USER].holds == {}
    assert alerts == []


async def test_what_was_held_is_no_overrun(one: Instance, alerts: list[Alert]) -> None:
    """A request that costs what was held for it is nothing to tell."""
    await one.settle(await one.admit(principal(Limits(budget_day=1_000)), cost=100), cost=100)
    assert alerts == []


def test_the_log_says_each_threshold_once(caplog: pytest.LogCaptureFixture) -> None:
    """Holds come and go, so one is passed again and again; the next period's is another one."""
    tell = LogAlerts()
    first = Threshold(KEY, Limit.BUDGET_MONTH, "2026-12", 80, 39 * 10**9, 10**9 + 5, 50 * 10**9)
    with caplog.at_level(logging.WARNING):
        tell(first)
        tell(first)
        tell(Threshold(KEY, Limit.BUDGET_MONTH, "2027-01", 80, 0, 40 * 10**9, 50 * 10**9))
    assert [record.name for record in caplog.records] == ["sluice.budget"] * 2
    assert caplog.messages[0] == (
        "budget alert: row=key:key_1 limit=budget_month period=2026-12 percent=80 "
        "spent_usd=39.00 held_usd=1.000000005 limit_usd=50.00"
    )


def test_the_log_says_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    """One warning each, with the alert itself beside the words."""
    tell = LogAlerts()
    rest: list[Alert] = [
        Overrun(USER, ID, 10**9, 3 * 10**9),
        Observed(KEY, ID, (Limit.MAX_PARALLEL, Limit.BUDGET_DAY)),
    ]
    with caplog.at_level(logging.WARNING):
        for alert in rest:
            tell(alert)
    assert caplog.messages == [
        f"budget overrun: row=user:ada request={ID} cost_usd=3.00 held_usd=1.00",
        f"would have been refused: row=key:key_1 request={ID} limits=max_parallel,budget_day",
    ]
    assert [record.__dict__["alert"] for record in caplog.records] == rest
