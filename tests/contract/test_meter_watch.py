"""The contract of `Meter` over every engine's rows: what is told of rows as writes leave them, whoever else writes."""

import asyncio

import pytest

from common.metering.meter import LimitMeter
from common.metering.watch import Alert, Observed, Overrun, Threshold
from common.model.limits import Limit, Limits
from tests.contract.adapters import Stores
from tests.support.metered import KEY, USER, Instance, World, principal

OBSERVED = Limits(
    requests_per_minute=2,
    tokens_per_day=30,
    max_parallel=3,
    budget_month=40,
    observed=frozenset(Limit),
)


@pytest.fixture
def world(stores: Stores) -> World:
    """At noon, with nobody in it."""
    return World(stores.rows)


@pytest.fixture
def alerts() -> list[Alert]:
    """What all instances told."""
    return []


def telling(world: World, alerts: list[Alert]) -> Instance:
    """An instance that tells `alerts`."""
    instance = world.instance()
    instance.meter = LimitMeter(world.rows, instance.clock, alerts.append)
    return instance


async def test_observed(world: World, alerts: list[Alert]) -> None:
    """Nothing is refused and all is counted; what each limit would have refused is told, by whichever instance."""
    instances = [telling(world, alerts) for _ in range(2)]
    who = principal(OBSERVED, Limits(requests_per_day=1, observed=frozenset(Limit)))
    found = [(await instances[nth % 2].admit(who, cost=10, tokens=10)).observed for nth in range(5)]
    per_minute, per_day, of_user = Limit.REQUESTS_PER_MINUTE, Limit.TOKENS_PER_DAY, Limit.REQUESTS_PER_DAY
    assert found == [
        (),
        (of_user,),
        (per_minute, of_user),
        (per_minute, per_day, Limit.MAX_PARALLEL, of_user),
        (per_minute, per_day, Limit.MAX_PARALLEL, Limit.BUDGET_MONTH, of_user),
    ]
    assert [alert.row for alert in alerts if isinstance(alert, Observed)].count(KEY) == 3
    counts = await world.counts(KEY)
    assert (counts["day_requests"], counts["day_tokens"], counts["committed_month"]) == (5, 50, 50)


async def test_thresholds(world: World, alerts: list[Alert]) -> None:
    """Of many requests at once at many instances, a threshold is passed by one, of each row."""
    instances = [telling(world, alerts) for _ in range(3)]
    limits = Limits(budget_total=1_000, alerts=(50, 80))
    who = principal(limits, limits)
    for _ in range(3):
        await asyncio.gather(*(instance.admit(who, cost=100) for instance in instances))
    told = [(alert.row, alert.percent) for alert in alerts if isinstance(alert, Threshold)]
    assert sorted(told) == [(KEY, 50), (KEY, 80), (USER, 50), (USER, 80)]


async def test_overrun(world: World, alerts: list[Alert]) -> None:
    """M2: a settlement beyond its hold is told once, and so is the threshold that it passes."""
    one = telling(world, alerts)
    admission = await one.admit(principal(Limits(budget_day=1_000, alerts=(50,))), cost=100)
    for cost in (700, 900):
        await one.settle(admission, cost=cost)
    assert alerts == [
        Threshold(KEY, Limit.BUDGET_DAY, "2026-12-31", 50, 700, 0, 1_000),
        Overrun(KEY, admission.ask.request_id, 100, 700),
    ]
