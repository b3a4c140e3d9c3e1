"""The contract of `verify` over every engine: rows that are right are found right, and each that is not is found."""

import random
from collections.abc import AsyncIterator
from typing import Final

import pytest

from common.metering.plan import Plan
from common.metering.rows import PAGE, Change, Records
from common.metering.standing import COMMITTED_DAY, COMMITTED_MONTH, COMMITTED_TOTAL
from common.metering.sweeper import sweep
from common.metering.verify import Money, RowVerdict, Verdict, verify
from common.model.limits import Limits
from common.model.principal import Principal
from common.model.usage_query import Booking
from tests.contract.adapters import Stores
from tests.contract.test_sweep import keys
from tests.support.metered import KEY, USER, Instance, World, principal

DAY_MS: Final = 86_400_000
BOUND: Final = Limits(budget_total=10**12)
BOTH: Final = principal(BOUND, BOUND)
OTHER: Final = principal(BOUND, BOUND, "key_2")
UNBOUND: Final = principal()


@pytest.fixture
def world(stores: Stores) -> World:
    """At noon of the last day of a month, with nobody in it."""
    return World(stores.rows)


async def verdicts(stores: Stores) -> dict[str, RowVerdict]:
    """Of each row."""
    return {each.row: each for each in await verify(stores.rows, stores.usage)}


async def said(stores: Stores) -> dict[str, Verdict]:
    """In a word."""
    return {row: each.verdict for row, each in (await verdicts(stores)).items()}


async def use(one: Instance, who: Principal = BOTH, held: int = 100, cost: int = 40) -> None:
    """One request, from its admission to its settlement."""
    admission = await one.admit(who, cost=held)
    await one.settle(admission, cost=cost)


async def tamper(stores: Stores, row: str, **by: int) -> None:
    """Change a row's counts behind the meter's back."""
    assert (await stores.rows.apply([Change(row, Plan(add=by))], Records())).applied


async def test_nothing(stores: Stores) -> None:
    """Without rows there is nothing to say."""
    assert await verify(stores.rows, stores.usage) == []


async def test_life_of_rows(stores: Stores, world: World) -> None:
    """Whatever the meter does, rows and records agree: running, settled, overrun, extended, lost, late, anew."""
    one = world.instance()
    await use(one)
    await use(one, OTHER, cost=150)  # an overrun
    open_one = await one.admit(BOTH, cost=70)
    lost = await one.admit(BOTH, cost=60, lifetime_s=10)
    extended = await one.meter.extend(await one.admit(BOTH, cost=10), 15)
    assert await said(stores) == dict.fromkeys((KEY, "key:key_2", USER), Verdict.RIGHT)
    world.wait(20_000)
    assert await sweep(stores.rows, await keys("key_1", "key_2"), one.clock) == 1
    assert await said(stores) == dict.fromkeys((KEY, "key:key_2", USER), Verdict.RIGHT)
    world.wait(DAY_MS)  # a new day, and a new month
    await use(one)
    found = await verdicts(stores)
    assert found[KEY] == RowVerdict(KEY, Verdict.RIGHT, Money(40, 40, 235), Money(40, 40, 235))
    await one.settle(open_one, cost=7)
    await one.settle(extended, cost=25)
    await one.settle(lost, cost=1)
    found = await verdicts(stores)
    assert {each.verdict for each in found.values()} == {Verdict.RIGHT}
    assert found[USER].counted == Money(40, 40, 40 + 150 + 40 + 7 + 25 + 1)


async def test_hold_that_only_one_row_has_swept(stores: Stores, world: World) -> None:
    """A request whose hold has expired in both rows and was booked in one counts once in each, by hold or by record."""
    one = world.instance()
    await one.admit(BOTH, cost=60, lifetime_s=10)
    world.wait(20_000)
    await use(one, OTHER)  # which sweeps the user's row alone
    found = await verdicts(stores)
    assert {each.verdict for each in found.values()} == {Verdict.RIGHT}
    assert (found[KEY].counted.total, found[USER].counted.total) == (0, 100)


@pytest.mark.parametrize("row", [KEY, USER])
@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("count", [COMMITTED_DAY, COMMITTED_MONTH, COMMITTED_TOTAL])
async def test_one_nano_dollar(stores: Stores, world: World, row: str, by: int, count: str) -> None:
    """A count that is wrong by one nano-dollar is found, in its row and its period alone."""
    one = world.instance()
    for _ in range(3):
        await use(one)
    await tamper(stores, row, **{count: by})
    found = await verdicts(stores)
    assert {each.row for each in found.values() if each.verdict is Verdict.DIFFERS} == {row}
    differing = [
        name
        for name, counted, recorded in zip(
            Money._fields, found[row].counted, found[row].recorded, strict=True
        )
        if counted != recorded
    ]
    assert differing == [count.removeprefix("committed_")]


async def test_limits_that_came_later(stores: Stores, world: World) -> None:
    """A row that lacks exactly the oldest requests is right since the first that it counts; its user's is right."""
    one = world.instance()
    for _ in range(2):
        await use(one, principal(user=BOUND), cost=30)
        world.wait(7_000)
    first_ms = one.clock.now_ms()
    for _ in range(2):
        await use(one)
        world.wait(7_000)
    found = await verdicts(stores)
    assert found[USER].verdict is Verdict.RIGHT
    assert found[KEY] == RowVerdict(
        KEY, Verdict.RIGHT_SINCE, Money(80, 80, 80), Money(140, 140, 140), first_ms // 5_000 * 5_000
    )


async def test_limits_that_came_a_day_later(stores: Stores, world: World) -> None:
    """What is older is looked for in each period by itself."""
    one = world.instance()
    await use(one, UNBOUND, cost=30)
    world.wait(DAY_MS)
    await use(one)
    found = await verdicts(stores)
    assert found[KEY].verdict is found[USER].verdict is Verdict.RIGHT_SINCE
    assert found[KEY].recorded == Money(40, 40, 70)
    await tamper(stores, KEY, committed_day=-40)
    assert (await said(stores))[KEY] is Verdict.DIFFERS


async def test_limits_that_were_taken_away_for_a_time(stores: Stores, world: World) -> None:
    """What a row lacks from its middle is a difference, as nothing tells that it was rightly let pass."""
    one = world.instance()
    for who, cost in ((BOTH, 40), (UNBOUND, 30), (BOTH, 20)):
        await use(one, who, cost=cost)
        world.wait(1_000)
    assert await said(stores) == {KEY: Verdict.DIFFERS, USER: Verdict.DIFFERS}


async def test_row_that_counts_nothing_yet(stores: Stores, world: World) -> None:
    """A key whose limits came after all of its requests is right so far; free requests change nothing in that."""
    one = world.instance()
    await use(one, UNBOUND)
    await use(one, principal(BOUND), held=0, cost=0)
    found = await verdicts(stores)
    assert found[KEY].verdict is Verdict.RIGHT_SINCE
    assert found[KEY].counted == Money(0, 0, 0)


async def test_row_that_changes_meanwhile(stores: Stores, world: World) -> None:
    """A row that is written while records are read is not judged, as it is right or wrong by that alone."""
    one = world.instance()
    await use(one)
    read, usage = stores.usage.bookings, stores.usage

    class Busy:
        """Records that somebody adds to, as they are read."""

        find, sums = usage.find, usage.sums

        async def bookings(self) -> AsyncIterator[Booking]:
            """See `UsageStore.bookings`."""
            await use(one)
            async for booking in read():
                yield booking

    found = {each.row: each.verdict for each in await verify(stores.rows, Busy())}
    assert found == dict.fromkeys((KEY, USER), Verdict.CHANGING)


async def test_more_rows_than_a_page(stores: Stores, world: World) -> None:
    """All rows are looked at, however many there are; each is listed once, by name."""
    one = world.instance()
    await use(one)
    names = [f"key:{number:04}" for number in range(PAGE + 5)]
    for name in names:
        await tamper(stores, name, committed_total=1)
    found = [each.row for each in await verify(stores.rows, stores.usage)]
    assert found == sorted([*names, KEY, USER])


@pytest.mark.parametrize("seed", range(3))
async def test_any_life(stores: Stores, world: World, seed: int) -> None:
    """Random requests of two keys, some lost, some late, over days: rows and records agree at every step."""
    rng, one = random.Random(seed), world.instance()
    running = []
    for _ in range(12):
        who = rng.choice((BOTH, OTHER))
        running.append(await one.admit(who, cost=rng.randrange(1_000), lifetime_s=rng.choice((5, 600))))
        world.wait(rng.choice((0, 1_000, 9_000, DAY_MS // 3)))
        if rng.random() < 0.6:
            await one.settle(running.pop(rng.randrange(len(running))), cost=rng.randrange(1_200))
        assert set((await said(stores)).values()) == {Verdict.RIGHT}
