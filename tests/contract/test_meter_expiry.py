"""The contract of `Meter` over every engine's rows: holds whose requests nobody settled in time."""

from dataclasses import replace

import pytest

from common.metering.plan import SWEPT_AT_ONCE
from common.model.errors import BudgetExceeded, RateLimited
from common.model.ids import KeyId
from common.model.limits import Limits
from common.model.usage import Outcome, Tokens, UsageRecord
from tests.contract.adapters import Stores
from tests.support.metered import KEY, USER, World, principal, record

PLENTY = Limits(requests_per_minute=1_000, budget_total=10**12)


@pytest.fixture
def world(stores: Stores) -> World:
    """At noon, with nobody in it."""
    return World(stores.rows)


def abandoned(of: UsageRecord, held_tokens: int = 50) -> UsageRecord:
    """What is written for a request that nobody settled."""
    return replace(
        of,
        model="",
        provider="",
        upstream_model="",
        outcome=Outcome.GATEWAY,
        streamed=False,
        attempts=0,
        tokens=Tokens(),
        estimated=True,
        cost_nanousd=of.held_nanousd,
        held_tokens=held_tokens,
        abandoned=True,
        started_ms=of.sub_window * 5_000,
        total_ms=0,
    )


@pytest.mark.parametrize("early", [1, 0], ids=["the last millisecond", "its second"])
async def test_swept_by_the_next_admission(stores: Stores, world: World, early: int) -> None:
    """M4: when its time has come a hold is spent: it is parallel to nothing, its money is gone, a record tells so."""
    one, other = world.instance(), world.instance()
    who = principal(Limits(max_parallel=1, budget_total=150), PLENTY)
    admission = await one.admit(who, cost=100, tokens=50, lifetime_s=60)
    world.wait(60_000 - early)
    if early:
        error = await other.refuses(who)
        assert isinstance(error, RateLimited)
        return
    later = await other.admit(who, cost=50)
    for row in (KEY, USER):
        counts = await world.counts(row)
        assert (counts["in_flight"], counts["committed_total"], counts["day_tokens"]) == (1, 150, 50)
        assert list((await world.rows.read([row]))[0].holds) == [later.ask.request_id]
    assert await stores.usage.find(admission.ask.request_id) == abandoned(record(admission))
    await other.settle(later, cost=50)
    assert isinstance(await other.refuses(who, cost=1), BudgetExceeded)


async def test_late_settlement(stores: Stores, world: World) -> None:
    """M4: a settlement that comes after the sweep corrects rows and record, once."""
    one, other, who = world.instance(), world.instance(), principal(PLENTY, PLENTY)
    admission = await one.admit(who, cost=100, tokens=50, lifetime_s=60)
    world.wait(60_000)
    await other.settle(await other.admit(who))
    for cost in (30, 30, 40):
        await one.settle(admission, cost=cost, tokens=20)
        await other.settle(admission, cost=cost, tokens=20)
        for row in (KEY, USER):
            counts = await world.counts(row)
            assert (counts["committed_day"], counts["committed_total"], counts["day_tokens"]) == (30, 30, 20)
            assert "in_flight" not in counts
    assert await stores.usage.find(admission.ask.request_id) == record(admission, cost=30, tokens=20)


async def test_late_settlement_before_any_sweep(stores: Stores, world: World) -> None:
    """M4: an expired hold that nobody has come across is settled like any other."""
    one, who = world.instance(), principal(PLENTY, PLENTY)
    admission = await one.admit(who, cost=100, lifetime_s=60)
    world.wait(90_000)
    await one.settle(admission, cost=30)
    await one.admit(who)
    assert (await world.counts(KEY))["committed_total"] == (await world.counts(USER))["committed_total"] == 30
    assert await stores.usage.find(admission.ask.request_id) == record(admission, cost=30)


async def test_swept_by_the_user_alone(stores: Stores, world: World) -> None:
    """M4: another key's admission sweeps the user's row; the record says whose key it was when that row is swept."""
    one, other, who = world.instance(), world.instance(), principal(PLENTY, PLENTY)
    admission = await one.admit(who, cost=100, tokens=50, lifetime_s=60)
    world.wait(60_000)
    await other.settle(await other.admit(principal(PLENTY, PLENTY, key_id="key_2")))
    nameless = replace(abandoned(record(admission)), key_id=KeyId(""))
    assert await stores.usage.find(admission.ask.request_id) == nameless
    assert (await world.counts(KEY))["in_flight"] == 1
    await one.settle(await one.admit(who))
    assert await stores.usage.find(admission.ask.request_id) == abandoned(record(admission))
    for row in (KEY, USER):
        counts = await world.counts(row)
        assert counts["committed_total"] == 100
        assert "in_flight" not in counts


async def test_settled_after_the_user_alone_was_swept(stores: Stores, world: World) -> None:
    """M4: the key's hold is settled, what the user's row has booked is corrected, and both are done once."""
    one, other, who = world.instance(), world.instance(), principal(PLENTY, PLENTY)
    admission = await one.admit(who, cost=100, tokens=50, lifetime_s=60)
    world.wait(60_000)
    await other.settle(await other.admit(principal(PLENTY, PLENTY, key_id="key_2")))
    for _ in range(2):
        await one.settle(admission, cost=30, tokens=20)
        for row in (KEY, USER):
            counts = await world.counts(row)
            assert (counts["committed_total"], counts["day_tokens"]) == (30, 20)
            assert "in_flight" not in counts
    assert await stores.usage.find(admission.ask.request_id) == record(admission, cost=30, tokens=20)


async def test_an_extended_hold_expires_as_a_whole(stores: Stores, world: World) -> None:
    """M4: what was held last is what is spent."""
    one, who = world.instance(), principal(PLENTY, PLENTY)
    admission = await one.admit(who, cost=100, tokens=50, lifetime_s=60)
    longer = await one.meter.extend(admission, 20)
    world.wait(60_000)
    await one.admit(who)
    assert (await world.counts(KEY))["committed_total"] == 120
    assert await stores.usage.find(admission.ask.request_id) == abandoned(record(longer))


async def test_many_at_once(stores: Stores, world: World) -> None:
    """M4: what one sweep cannot take the next one does; every request has its record."""
    one, who = world.instance(), principal(PLENTY)
    crowd = SWEPT_AT_ONCE + 6
    admissions = [await one.admit(who, cost=10, lifetime_s=60) for _ in range(crowd)]
    world.wait(60_000)
    await one.admit(who)
    assert (await world.counts(KEY))["in_flight"] == 7
    await one.admit(who)
    assert (await world.counts(KEY))["in_flight"] == 2
    assert (await world.counts(KEY))["committed_total"] == 10 * crowd
    for admission in admissions[:: SWEPT_AT_ONCE // 4]:
        assert await stores.usage.find(admission.ask.request_id) == abandoned(record(admission), 0)
