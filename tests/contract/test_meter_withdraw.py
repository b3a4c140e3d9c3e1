"""The contract of `Meter.withdraw` over every engine's rows: of a request that was never sent nothing is left."""

from collections import Counter

import pytest

from common.model.errors import RateLimited
from common.model.limits import UNLIMITED, Limits
from tests.contract.adapters import Stores
from tests.support.metered import KEY, USER, World, principal

LIMITS = Limits(requests_per_minute=1, requests_per_day=1, max_parallel=1, budget_total=100)


@pytest.fixture
def world(stores: Stores) -> World:
    """At noon, with nobody in it."""
    return World(stores.rows)


async def test_as_if_it_had_never_been(stores: Stores, world: World) -> None:
    """Its request, its tokens and its money are there for the next one; it has no record."""
    one, other = world.instance(), world.instance()
    who = principal(LIMITS, LIMITS)
    ask = one.ask(who, cost=100, tokens=50)
    await one.meter.admit(ask)
    await other.meter.withdraw(ask)
    for row in (KEY, USER):
        counts = Counter(await world.counts(row))
        assert (counts["in_flight"], counts["committed_total"], counts["day_tokens"]) == (0, 0, 0)
        assert counts["day_requests"] == 0
    assert await stores.usage.find(ask.request_id) is None
    await one.admit(who, cost=100)


async def test_again_is_the_same_as_once(world: World) -> None:
    """What is withdrawn twice, or was never admitted, changes nothing of others."""
    one = world.instance()
    who = principal(Limits(budget_total=100), LIMITS)
    ask = one.ask(who, cost=40)
    await one.meter.withdraw(ask)
    await one.meter.admit(ask)
    await one.meter.withdraw(ask)
    await one.admit(who, cost=60)
    await one.meter.withdraw(ask)
    counts = Counter(await world.counts(KEY))
    assert (counts["in_flight"], counts["committed_total"]) == (1, 60)


async def test_settled_meanwhile(stores: Stores, world: World) -> None:
    """M3: a request that is settled after all stays so."""
    one = world.instance()
    ask = one.ask(principal(LIMITS, LIMITS), cost=100)
    admission = await one.meter.admit(ask)
    await one.settle(admission, cost=30)
    await one.meter.withdraw(ask)
    assert Counter(await world.counts(USER))["committed_total"] == 30
    assert (await stores.usage.find(ask.request_id)) is not None


async def test_a_request_in_a_closed_sub_window_stays_counted(world: World) -> None:
    """M1: counts of closed sub-windows never change: only its money and its place among the parallel ones come back."""
    one = world.instance()
    who = principal(LIMITS, UNLIMITED)
    ask = one.ask(who, cost=100)
    await one.meter.admit(ask)
    world.wait(5_000)
    other = principal(Limits(requests_per_minute=10), UNLIMITED)
    await one.admit(other)
    await one.meter.withdraw(ask)
    assert Counter(await world.counts(KEY))["committed_total"] == 0
    assert isinstance(await one.refuses(who), RateLimited)


async def test_without_limits(world: World) -> None:
    """Nothing was held."""
    one = world.instance()
    await one.meter.withdraw(one.ask(principal(), cost=5))
