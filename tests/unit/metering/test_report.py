"""How far limits are used, as it is told: what is left is what the decision would still admit."""

import random
from typing import Any, Final

import pytest

from common.adapters.memory import MemoryRows
from common.metering import decision
from common.metering.report import report
from common.metering.standing import EMPTY, Standing
from common.model.errors import LimitError
from common.model.ids import new_request_id
from common.model.limits import Limit, Limits, LimitStanding, Refused
from tests.support.metered import KEY, MIDNIGHT, NOON, Instance, World, principal

EVERY: Final = Limits(
    requests_per_minute=20,
    tokens_per_minute=5_000,
    requests_per_day=30,
    tokens_per_day=9_000,
    max_parallel=8,
    budget_day=4_000,
    budget_month=5_000,
    budget_total=7_000,
)
WHO: Final = principal(EVERY)
DAY_MS: Final = 86_400_000
PERIODIC: Final = {Limit.REQUESTS_PER_DAY, Limit.TOKENS_PER_DAY, Limit.BUDGET_DAY, Limit.BUDGET_MONTH}


async def standing_of(world: World) -> Standing:
    """The key's row."""
    (standing,) = await world.rows.read([KEY])
    return standing


def told(standing: Standing, now_ms: int, limits: Limits = EVERY) -> dict[Limit, LimitStanding]:
    """By limit."""
    return {each.limit: each for each in report(standing, limits, now_ms)}


def admits(standing: Standing, limit: Limit, amount: int, now_ms: int) -> bool:
    """Whether the decision lets a request pass that asks for so much of one limit, if that were the only one."""
    money = limit in {Limit.BUDGET_DAY, Limit.BUDGET_MONTH, Limit.BUDGET_TOTAL}
    tokens = limit in {Limit.TOKENS_PER_MINUTE, Limit.TOKENS_PER_DAY}
    ask = decision.Ask(
        new_request_id(now_ms // 1000 + 600, random.Random(1)),
        amount if money else 0,
        amount if tokens else 0,
    )
    stated: dict[str, Any] = {limit.value: EVERY.stated(limit)}
    only = Limits(**stated)
    return not isinstance(decision.admit(standing, only, ask, now_ms), Refused)


async def live(one: Instance, world: World, rng: random.Random) -> None:
    """A few requests at random, some of which stay open, and some expire."""
    for _ in range(rng.randrange(12)):
        cost, tokens = rng.randrange(600), rng.randrange(900)
        try:
            admission = await one.admit(WHO, cost, tokens, lifetime_s=rng.choice((5, 60, 600)))
        except LimitError:
            world.wait(rng.choice((1_000, 70_000, DAY_MS)))
            continue
        if rng.random() < 0.6:
            await one.settle(admission, rng.randrange(700), rng.randrange(1_000))
        world.wait(rng.choice((0, 0, 100, 4_000, 30_000, DAY_MS // 5)))


@pytest.mark.parametrize("seed", range(60))
async def test_what_is_left_is_what_would_be_admitted(seed: int) -> None:
    """Of every limit: all that remains passes, one more does not; and what is used, held and left adds up."""
    rng, world = random.Random(seed), World(MemoryRows(), now_ms=MIDNIGHT - 100_000)
    one = world.instance()
    await live(one, world, rng)
    standing, now_ms = await standing_of(world), world.now_ms
    for limit, each in told(standing, now_ms).items():
        counted = {Limit.REQUESTS_PER_MINUTE, Limit.REQUESTS_PER_DAY, Limit.MAX_PARALLEL}
        if limit in counted:
            assert admits(standing, limit, 1, now_ms) is (each.remaining > 0)
        else:
            assert admits(standing, limit, each.remaining, now_ms)
            assert not admits(standing, limit, each.remaining + 1, now_ms)
        assert each.remaining == max(0, each.value - each.used - each.held)
        assert min(each.held, each.remaining) >= 0


@pytest.mark.parametrize("seed", range(60))
async def test_after_its_reset_all_is_left(seed: int) -> None:
    """When a limit resets, all of it is back, unless requests are running; a moment before, what was used is not."""
    rng, world = random.Random(seed), World(MemoryRows(), now_ms=MIDNIGHT - 100_000)
    await live(world.instance(), world, rng)
    standing, now_ms = await standing_of(world), world.now_ms
    for limit, each in told(standing, now_ms).items():
        if each.resets_ms is None:
            assert limit in {Limit.MAX_PARALLEL, Limit.BUDGET_TOTAL}
            continue
        after = told(standing, now_ms + each.resets_ms)[limit]
        assert after.used + after.held == 0
        if each.used + each.held and each.resets_ms > 0:
            before = told(standing, now_ms + each.resets_ms - 1)[limit]
            assert before.used + before.held > 0


async def test_running_and_ended() -> None:
    """A running request holds its estimates, and is used as a request; what it did not use comes back."""
    world = World(MemoryRows(), now_ms=NOON)
    one = world.instance()
    admission = await one.admit(WHO, cost=100, tokens=50)
    now = told(await standing_of(world), NOON)
    assert {limit: (each.used, each.held) for limit, each in now.items()} == {
        Limit.REQUESTS_PER_MINUTE: (1, 0),
        Limit.TOKENS_PER_MINUTE: (0, 50),
        Limit.REQUESTS_PER_DAY: (1, 0),
        Limit.TOKENS_PER_DAY: (0, 50),
        Limit.MAX_PARALLEL: (0, 1),
        Limit.BUDGET_DAY: (0, 100),
        Limit.BUDGET_MONTH: (0, 100),
        Limit.BUDGET_TOTAL: (0, 100),
    }
    await one.settle(admission, cost=30, tokens=20)
    now = told(await standing_of(world), NOON)
    assert {(each.used, each.held) for each in now.values()} == {(1, 0), (20, 0), (0, 0), (30, 0)}


async def test_overrun() -> None:
    """Where more was used than the limit, nothing is left, and what was used is told as it is."""
    world = World(MemoryRows(), now_ms=NOON)
    one = world.instance()
    await one.settle(await one.admit(WHO, cost=4_000), cost=5_001)
    money = told(await standing_of(world), NOON)
    assert money[Limit.BUDGET_DAY][3:6] == (5_001, 0, 0)
    assert money[Limit.BUDGET_TOTAL][3:6] == (5_001, 0, 1_999)


async def test_expired_hold_is_used() -> None:
    """Money of a hold that expired is used, whether anybody has swept it or not; it is no request that runs."""
    world = World(MemoryRows(), now_ms=NOON)
    await world.instance().admit(WHO, cost=100, lifetime_s=10)
    now = told(await standing_of(world), NOON + 10_000)
    assert now[Limit.BUDGET_DAY][3:5] == (100, 0)
    assert now[Limit.MAX_PARALLEL][3:5] == (0, 0)


def test_nobody_yet() -> None:
    """Before its first request all of every limit is left; periods end when they do, windows wait for nothing."""
    found = told(EMPTY, NOON)
    assert all((each.used, each.held, each.remaining) == (0, 0, each.value) for each in found.values())
    resets = {limit: each.resets_ms for limit, each in found.items() if each.resets_ms}
    assert resets == dict.fromkeys(PERIODIC, MIDNIGHT - NOON)


def test_only_what_is_stated() -> None:
    """Limits that there are not are not told, and those that are only observed are told as that."""
    limits = Limits(requests_per_day=5, budget_day=10, observed=frozenset({Limit.BUDGET_DAY}))
    found = [(each.limit, each.is_enforced, each.value) for each in report(EMPTY, limits, NOON)]
    assert found == [(Limit.REQUESTS_PER_DAY, True, 5), (Limit.BUDGET_DAY, False, 10)]
