"""What is left by calls whose answer is lost, by cancelling, and by death."""

import asyncio
from contextlib import suppress

import pytest

from common.adapters.memory import MemoryRows
from common.model.errors import RateLimited, StorageUnavailable
from tests.support.dynamodb import Fault, LocalDynamo, Lossy
from tests.support.metered import KEY, USER, World, principal
from tests.unit.dynamodb.processes import ADA, KEY_ALONE, LIMITS, committed, process, recorded, seen

# -- answers that are lost


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.LOST])
@pytest.mark.parametrize("number", range(5))
async def test_asked_again(dynamo: LocalDynamo, world: World, number: int, fault: Fault) -> None:
    """M3: whichever call of an admission or settlement fails, the same asked again is done once."""
    one, client = await process(dynamo, world)
    client.faults = {number: fault}
    ask = one.ask(ADA, cost=50)
    try:
        admission = await one.meter.admit(ask)
    except StorageUnavailable:
        admission = await one.meter.admit(ask)
    try:
        await one.settle(admission, cost=30)
    except StorageUnavailable:
        await one.settle(admission, cost=30)
    world.wait(700_000)  # of a settlement that stopped between the rows, the second is booked when it expires
    await one.settle(await one.admit(ADA), cost=3)
    assert await committed(dynamo) == [33, 33]
    assert await recorded(dynamo) == 33


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.LOST])
@pytest.mark.parametrize("number", [0, 1])
async def test_not_held_where_admission_failed(
    dynamo: LocalDynamo, world: World, number: int, fault: Fault
) -> None:
    """M4: what was held for a request that will not be sent, since its admission failed, is given back."""
    one, client = await process(dynamo, world)
    before = await seen(dynamo)
    client.faults = {number: fault}
    with pytest.raises(StorageUnavailable):
        await one.admit(ADA, cost=50)
    assert await seen(dynamo) == before


async def requests(world: World) -> None:
    """Admitted, extended, settled, swept, corrected, refused."""
    one = world.instance()
    first, second = await one.admit(ADA, cost=50, tokens=9), await one.admit(ADA, cost=40, lifetime_s=10)
    with pytest.raises(RateLimited):
        await one.admit(ADA)
    await one.settle(await one.meter.extend(first, 7), cost=30, tokens=12)
    world.wait(20_000)
    third = await one.admit(ADA, cost=20)
    await one.settle(second, cost=10)
    await one.settle(third, cost=20)
    await one.settle(third, cost=20)


async def test_every_first_answer_is_lost(dynamo: LocalDynamo) -> None:
    """Connections that break behind every write change nothing: rows and records are as in memory."""
    lossy = Lossy(dynamo.upstream)
    over_wires, in_memory = World(dynamo.rows(dynamo.client(lossy))), World(MemoryRows())
    for world in (over_wires, in_memory):
        await requests(world)
    assert lossy.lost > 15
    assert await over_wires.rows.read([KEY, USER]) == await in_memory.rows.read([KEY, USER])
    records = await dynamo.records()
    assert len(records) == 3
    for each in records:
        assert await in_memory.rows.find(each.request_id) == each


async def test_withdrawal_whose_answer_is_lost(dynamo: LocalDynamo, world: World) -> None:
    """Also of an admission that is undone: it is refused as it would be otherwise."""
    lossy = dynamo.client(Lossy(dynamo.upstream))
    world.rows = dynamo.rows(lossy)
    other = world.instance()
    await other.settle(await other.admit(ADA))
    one, _ = await process(dynamo, world)
    before = await seen(dynamo)
    for _ in range(2):
        await one.admit(principal(key=LIMITS, user=LIMITS, key_id="key_2"))
    with pytest.raises(RateLimited):
        await other.admit(ADA, cost=5)
    assert (await seen(dynamo))[0] == before[0]


# -- cancelling and death


@pytest.mark.parametrize("number", [0, 1])
async def test_cancelled_admission(dynamo: LocalDynamo, world: World, number: int) -> None:
    """M4: whoever leaves while it is admitted leaves nothing held: the living process gives it back."""
    one, client = await process(dynamo, world)
    before = await seen(dynamo)
    client.faults = {number: Fault.CANCELLED}
    with pytest.raises(asyncio.CancelledError):
        await one.admit(ADA, cost=50)
    assert await dynamo.background.drain(5) == 0
    assert await seen(dynamo) == before


@pytest.mark.parametrize(
    ("number", "sums"),
    [
        pytest.param(0, [53, 3], id="the key has it"),
        pytest.param(1, [53, 53], id="admitted"),
        pytest.param(2, [33, 33], id="recorded"),
        pytest.param(3, [33, 33], id="the key is settled"),
        pytest.param(4, [33, 33], id="settled"),
    ],
)
async def test_death(dynamo: LocalDynamo, world: World, number: int, sums: list[int]) -> None:
    """M4: what was held when a process died is spent once it expires; what was recorded costs what that says."""
    (one, client), (other, _) = await process(dynamo, world), await process(dynamo, world)
    client.faults = {number: Fault.KILLED}
    with suppress(asyncio.CancelledError):
        await one.settle(await one.admit(ADA, cost=50), cost=30)
    assert await dynamo.background.drain(5) == 0
    world.wait(700_000)
    await other.settle(await other.admit(ADA), cost=3)
    assert await committed(dynamo) == sums
    assert await recorded(dynamo) == sums[0]


@pytest.mark.parametrize("number", range(3))
async def test_swept_while_it_is_settled(dynamo: LocalDynamo, world: World, number: int) -> None:
    """M3, M4: a hold that expires between two calls of its settlement is booked once, as settled."""
    (one, client), (other, _) = await process(dynamo, world), await process(dynamo, world)
    admission = await one.admit(ADA, cost=50)
    client.operations.clear()

    async def sweep() -> None:
        world.wait(700_000)
        await other.settle(await other.admit(ADA), cost=3)

    client.meanwhile = {number: sweep}
    await one.settle(admission, cost=30)
    assert await committed(dynamo) == [33, 33]
    assert await recorded(dynamo) == 33


async def test_swept_while_it_is_admitted(dynamo: LocalDynamo, world: World) -> None:
    """M4: an admission that outlives its own hold is not made once more: what was swept is booked."""
    (one, client), (other, _) = await process(dynamo, world), await process(dynamo, world)

    async def sweep_and_fill() -> None:
        world.wait(20_000)
        await other.settle(await other.admit(KEY_ALONE), cost=3)
        for _ in range(2):
            await other.admit(principal(user=LIMITS))

    client.meanwhile = {1: sweep_and_fill}
    with pytest.raises(StorageUnavailable):
        await one.admit(ADA, cost=50, lifetime_s=10)
    key, _ = await seen(dynamo)
    assert (key.holds, key.counts["committed_total"]) == ({}, 53)
    assert await recorded(dynamo) == 53


async def test_first_record_stays(dynamo: LocalDynamo, world: World) -> None:
    """M3: a settlement that finds another one's record books what that says, to the rows that lack it."""
    (one, client), (other, _) = await process(dynamo, world), await process(dynamo, world)
    admission = await one.admit(ADA, cost=50)
    client.faults = {len(client.operations) + 1: Fault.DOWN}
    with pytest.raises(StorageUnavailable):
        await one.settle(admission, cost=30)
    await other.settle(admission, cost=20)
    assert await committed(dynamo) == [30, 30]
    assert await recorded(dynamo) == 30
