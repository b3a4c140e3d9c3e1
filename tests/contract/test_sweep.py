"""The contract of the sweep over every engine's rows: what nobody comes back for is booked, once."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from common.adapters.memory import MemoryKeyStore
from common.metering.plan import SWEPT_AT_ONCE
from common.metering.rows import Change, Outcome, Records
from common.metering.standing import IN_FLIGHT
from common.metering.sweeper import sweep
from common.model.admission import Admission
from common.model.errors import StorageContended
from common.model.ids import KeyId, UserId
from common.model.limits import Limits
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord
from common.model.usage import UsageRecord
from tests.contract.adapters import Stores
from tests.contract.test_meter_expiry import abandoned
from tests.support.metered import KEY, USER, Instance, World, principal, record

PLENTY: Final = Limits(requests_per_minute=1_000, budget_total=10**12)
BOTH: Final = principal(PLENTY, PLENTY)


@pytest.fixture
def world(stores: Stores) -> World:
    """At noon, with nobody in it."""
    return World(stores.rows)


async def keys(*ids: str) -> MemoryKeyStore:
    """Ada's keys."""
    store = MemoryKeyStore()
    for nth, id_ in enumerate(ids):
        await store.create(KeyRecord(KeyId(id_), bytes([nth]), UserId("ada"), "", DEFAULT_PERMISSIONS, nth))
    return store


async def swept(world: World, instance: Instance, *known: str) -> int:
    """Sweep as this instance does; what it says that it did."""
    return await sweep(world.rows, await keys(*(known or ("key_1", "key_2"))), instance.clock)


async def test_nobody_comes_back(stores: Stores, world: World) -> None:
    """M4: an expired hold is booked once, with the record that an admission leaves; one that lives stays."""
    one = world.instance()
    lost = await one.admit(BOTH, cost=100, tokens=50, lifetime_s=60)
    alive = await one.admit(BOTH, cost=7, lifetime_s=90)
    world.wait(60_000)
    assert [await swept(world, one) for _ in range(2)] == [1, 0]
    for row in (KEY, USER):
        counts = await world.counts(row)
        assert (counts["committed_total"], counts["day_tokens"], counts["in_flight"]) == (107, 50, 1)
    assert await stores.usage.find(lost.ask.request_id) == abandoned(record(lost))
    assert await stores.usage.find(alive.ask.request_id) is None
    await one.settle(alive, cost=3)
    assert (
        (await world.counts(KEY))["committed_total"] == (await world.counts(USER))["committed_total"] == 103
    )


async def test_not_before_its_second(world: World) -> None:
    """M4: a hold is open until the second has come that its id tells."""
    one = world.instance()
    await one.admit(BOTH, cost=100, lifetime_s=60)
    world.wait(59_999)
    assert await swept(world, one) == 0
    world.wait(1)
    assert await swept(world, one) == 1


async def test_late_settlement(stores: Stores, world: World) -> None:
    """M4: a settlement after the sweep corrects rows and record, once, though it goes by what it remembers."""
    one, other = world.instance(), world.instance()
    lost = await one.admit(BOTH, cost=100, tokens=50, lifetime_s=60)
    world.wait(60_000)
    assert await swept(world, other) == 1
    for _ in range(2):
        await one.settle(lost, cost=30, tokens=20)
    for row in (KEY, USER):
        counts = await world.counts(row)
        assert (counts["committed_total"], counts["day_tokens"]) == (30, 20)
        assert "in_flight" not in counts
    assert await stores.usage.find(lost.ask.request_id) == record(lost, cost=30, tokens=20)
    assert await swept(world, other) == 0


async def test_after_another_key_swept_the_user(stores: Stores, world: World) -> None:
    """M4: the record that the user's row left without a key gets it when the key's row is swept; no money moves."""
    one, other = world.instance(), world.instance()
    lost = await one.admit(BOTH, cost=100, tokens=50, lifetime_s=60)
    world.wait(60_000)
    await other.settle(await other.admit(principal(PLENTY, PLENTY, key_id="key_2")))
    assert await stores.usage.find(lost.ask.request_id) == replace(abandoned(record(lost)), key_id=KeyId(""))
    assert await swept(world, other) == 1
    assert await stores.usage.find(lost.ask.request_id) == abandoned(record(lost))
    assert (
        (await world.counts(KEY))["committed_total"] == (await world.counts(USER))["committed_total"] == 100
    )


@pytest.mark.parametrize("limited", ["key", "user"])
async def test_one_row_alone(stores: Stores, world: World, limited: str) -> None:
    """M4: a key's row tells key and user; a user's row tells the user."""
    one = world.instance()
    who = principal(key=PLENTY) if limited == "key" else principal(user=PLENTY)
    lost = await one.admit(who, cost=100, tokens=50, lifetime_s=60)
    world.wait(60_000)
    assert await swept(world, one) == 1
    key_id = KeyId("key_1" if limited == "key" else "")
    assert await stores.usage.find(lost.ask.request_id) == replace(abandoned(record(lost)), key_id=key_id)


@pytest.mark.parametrize("limited", ["key", "both"])
async def test_a_deleted_key(stores: Stores, world: World, limited: str) -> None:
    """M4: a key that is gone has its holds booked; whose it was is known if the user's row has them too."""
    one = world.instance()
    who = principal(key=PLENTY) if limited == "key" else BOTH
    lost = await one.admit(who, cost=100, tokens=50, lifetime_s=60)
    world.wait(60_000)
    assert await swept(world, one, "key_2") == 1
    user = UserId("" if limited == "key" else "ada")
    assert await stores.usage.find(lost.ask.request_id) == replace(abandoned(record(lost)), user=user)


async def test_more_than_a_plan_takes(world: World) -> None:
    """M4: one sweep books all holds of a row, however many they are."""
    one, who = world.instance(), principal(PLENTY)
    for _ in range(SWEPT_AT_ONCE + 6):
        await one.admit(who, cost=10, lifetime_s=60)
    world.wait(60_000)
    assert await swept(world, one) == SWEPT_AT_ONCE + 6
    counts = await world.counts(KEY)
    assert counts["committed_total"] == 10 * (SWEPT_AT_ONCE + 6)
    assert "in_flight" not in counts


async def test_a_row_that_is_never_had(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that others change too fast is left to them, and does not keep the others from being swept."""
    one = world.instance()
    await one.admit(BOTH, cost=100, lifetime_s=60)
    world.wait(60_000)
    real = world.rows.apply

    async def apply(changes: Sequence[Change], records: Records) -> Outcome:
        if changes[0].row == KEY:
            raise StorageContended("busy")
        return await real(changes, records)

    with monkeypatch.context() as patch:
        patch.setattr(world.rows, "apply", apply)
        assert await swept(world, one) == 1
    assert "in_flight" not in await world.counts(USER)
    assert (await world.counts(KEY))["in_flight"] == 1
    assert await swept(world, one) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_all_at_once(stores: Stores, world: World, seed: int) -> None:
    """M3, M4: two sweeps, late settlements and admissions together: each request is booked once, with one record."""
    rng = random.Random(seed)
    instances = [world.instance(skew_ms) for skew_ms in (0, 0, -900, 900)]
    sweeping, also_sweeping, settling, admitting = instances
    others = [BOTH, principal(PLENTY, PLENTY, key_id="key_2")]
    lost = [await settling.admit(rng.choice(others), cost=100, tokens=9, lifetime_s=60) for _ in range(8)]
    world.wait(62_000)
    late, new = rng.sample(lost, 4), [admitting.ask(rng.choice(others), cost=1) for _ in range(4)]

    async def settled(admission: Admission) -> None:
        await settling.settle(admission, cost=30, tokens=3)

    work = [
        swept(world, sweeping),
        swept(world, also_sweeping),
        *(settled(each) for each in late),
        *(admitting.meter.admit(ask) for ask in new),
    ]
    rng.shuffle(work)
    await asyncio.gather(*work)
    await swept(world, sweeping)

    async def found(admission: Admission) -> UsageRecord | None:
        return await stores.usage.find(admission.ask.request_id)

    for each in lost:
        expected = record(each, cost=30, tokens=3) if each in late else abandoned(record(each), held_tokens=9)
        assert await found(each) == expected
    key_1, key_2, user = await world.rows.read([KEY, "key:key_2", USER])
    assert user.counts["committed_total"] == 4 * 30 + 4 * 100 + 4
    assert key_1.counts["committed_total"] + key_2.counts["committed_total"] == 4 * 30 + 4 * 100 + 4
    assert user.counts[IN_FLIGHT] == len(user.holds) == 4
    assert set(user.holds) == {ask.request_id for ask in new}
