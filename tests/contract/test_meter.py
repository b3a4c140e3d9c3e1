"""The contract of `Meter` over every engine's rows: what is admitted, held, extended, settled, and refused."""

import asyncio
import itertools

import pytest

from common.metering.plan import Plan
from common.metering.rows import Change, Records
from common.model.errors import (
    BudgetExceeded,
    BudgetInFlight,
    LimitError,
    RateLimited,
    RequestTooLarge,
    StorageUnavailable,
)
from common.model.limits import Limit, Limits, Room
from tests.contract.adapters import Stores
from tests.support.metered import KEY, MIDNIGHT, NOON, USER, World, holds, principal, record

PLENTY = Limits(requests_per_minute=1_000, budget_total=10**12)


@pytest.fixture
def world(stores: Stores) -> World:
    """At noon, with nobody in it."""
    return World(stores.rows)


async def test_unlimited(stores: Stores, world: World) -> None:
    """Who has no limits is admitted without a row: only the record is written, once it is settled."""
    one, who = world.instance(), principal()
    admission = await one.admit(who, cost=100)
    longer = await one.meter.extend(admission, 50)
    assert (admission.held_nanousd, longer.held_nanousd) == (100, 150)
    assert (admission.headroom.requests, admission.headroom.tokens) == (None, None)
    assert await stores.usage.find(admission.ask.request_id) is None
    await one.settle(longer, cost=30)
    await one.settle(longer, cost=31)
    assert await stores.usage.find(admission.ask.request_id) == record(longer, cost=30)
    assert await world.counts(KEY) == await world.counts(USER) == {}


async def test_held_then_spent(stores: Stores, world: World) -> None:
    """An admission holds in both rows what it may use; its settlement leaves what was used, and the record."""
    one = world.instance()
    admission = await one.admit(principal(PLENTY, PLENTY), cost=100, tokens=50)
    slot = NOON // 5_000 % 14
    held = {
        "sub_window": NOON // 5_000,
        "in_flight": 1,
        "day_requests": 1,
        "day_tokens": 50,
        **dict.fromkeys(("committed_day", "committed_month", "committed_total"), 100),
        f"requests_{slot}": 1,
        f"tokens_{slot}": 50,
    }
    for row in (KEY, USER):
        assert await world.counts(row) == held
        ((id_, hold),) = holds((await world.rows.read([row]))[0]).items()
        assert (id_, hold.cost_nanousd, hold.tokens) == (admission.ask.request_id, 100, 50)
    assert await stores.usage.find(admission.ask.request_id) is None
    await one.settle(admission, cost=30, tokens=20)
    used = {**held, "in_flight": 0, "day_tokens": 20, f"tokens_{slot}": 20}
    used |= dict.fromkeys(("committed_day", "committed_month", "committed_total"), 30)
    for row in (KEY, USER):
        assert await world.counts(row) == {name: count for name, count in used.items() if count}
        assert not (await world.rows.read([row]))[0].holds
    assert await stores.usage.find(admission.ask.request_id) == record(admission, cost=30, tokens=20)


@pytest.mark.parametrize("bound", ["key", "user"])
async def test_one_of_both_is_limited(world: World, bound: str) -> None:
    """Only who has limits has a row."""
    one = world.instance()
    who = principal(PLENTY) if bound == "key" else principal(user=PLENTY)
    await one.settle(await one.admit(who, cost=100), cost=30)
    assert bool(await world.counts(KEY)) == (bound == "key")
    assert bool(await world.counts(USER)) == (bound == "user")


async def test_released(stores: Stores, world: World) -> None:
    """M4: a request that was never sent costs nothing and used no tokens; it was admitted, and is counted as such."""
    one = world.instance()
    admission = await one.admit(principal(PLENTY, PLENTY), cost=100, tokens=50)
    await one.settle(admission)
    counts = {"sub_window": NOON // 5_000, "day_requests": 1, f"requests_{NOON // 5_000 % 14}": 1}
    assert await world.counts(KEY) == await world.counts(USER) == counts
    assert await stores.usage.find(admission.ask.request_id) == record(admission)


async def test_admitted_once(world: World) -> None:
    """M3: a request that is asked for again, after a reply was lost, is the same admission."""
    one, other = world.instance(), world.instance()
    ask = one.ask(principal(PLENTY, PLENTY), cost=100, tokens=50)
    first = await one.meter.admit(ask)
    before = await world.counts(KEY)
    again, elsewhere = await one.meter.admit(ask), await other.meter.admit(ask)
    assert (again.held_nanousd, again.sub_window) == (first.held_nanousd, first.sub_window)
    assert (elsewhere.held_nanousd, elsewhere.sub_window) == (first.held_nanousd, first.sub_window)
    assert await world.counts(KEY) == before == await world.counts(USER)


async def test_settled_once(stores: Stores, world: World) -> None:
    """M3: settled again, by whom and with what so ever, the first settlement stays."""
    one, other = world.instance(), world.instance()
    admission = await one.admit(principal(PLENTY, PLENTY), cost=100, tokens=50)
    await one.settle(admission, cost=30, tokens=20)
    before = await world.counts(KEY)
    await one.settle(admission, cost=30, tokens=20)
    await one.settle(admission, cost=31, tokens=60)
    await other.settle(admission, cost=32, tokens=60)
    assert await world.counts(KEY) == before == await world.counts(USER)
    assert await stores.usage.find(admission.ask.request_id) == record(admission, cost=30, tokens=20)


async def test_settled_once_by_many(stores: Stores, world: World) -> None:
    """M3: of many settlements of one request at once, exactly one counts, whole."""
    instances = [world.instance(), world.instance()]
    admission = await instances[0].admit(principal(PLENTY, PLENTY), cost=100)
    calls = [one.settle(admission, nth, nth, nth) for one in instances for nth in range(1, 9)]
    await asyncio.gather(*calls)
    found = await stores.usage.find(admission.ask.request_id)
    assert found in [record(admission, nth, nth, nth) for nth in range(1, 9)]
    for row in (KEY, USER):
        counts = await world.counts(row)
        assert counts["committed_total"] == found.cost_nanousd
        assert counts["day_tokens"] == found.tokens.total
        assert "in_flight" not in counts


async def test_settled_in_any_order(world: World) -> None:
    """M3: whatever the order in which requests are settled, some of them twice, the sums are the same."""
    one, sums = world.instance(), []
    for nth, order in enumerate(itertools.permutations([0, 1, 2])):
        who = principal(PLENTY, key_id=f"key_{nth}")
        admissions = [await one.admit(who, cost=100, tokens=10) for _ in range(3)]
        for request in (*order, order[0]):
            await one.settle(admissions[request], cost=10**request, tokens=5 * request)
        sums.append(await world.counts(f"key:key_{nth}"))
    assert sums == [sums[0]] * len(sums)
    assert (sums[0]["committed_total"], sums[0]["day_tokens"]) == (111, 15)


async def test_overrun(world: World) -> None:
    """M2: what was billed beyond the hold is booked, and counts against later admissions."""
    one, who = world.instance(), principal(Limits(budget_day=100))
    await one.settle(await one.admit(who, cost=90), cost=120)
    assert (await world.counts(KEY))["committed_day"] == 120
    error = await one.refuses(who, cost=1)
    assert isinstance(error, BudgetExceeded)
    await one.admit(who, cost=0)


# -- limits ------------------------------------------------------------------------------------------------------------

WINDOW = [
    ("in the same sub-window", 0, 0, False),
    ("the last millisecond", 0, 69_999, False),
    ("fourteen sub-windows later", 0, 70_000, True),
    ("from the end of a sub-window, later", 4_999, 70_000, True),
]


@pytest.mark.parametrize(("first", "then", "free"), [w[1:] for w in WINDOW], ids=[w[0] for w in WINDOW])
@pytest.mark.parametrize("limits", [Limits(requests_per_minute=1), Limits(tokens_per_minute=10)], ids=str)
async def test_window(world: World, limits: Limits, first: int, then: int, *, free: bool) -> None:
    """M1: a place in the window is free again when its sub-window and thirteen more are over."""
    one, who = world.instance(), principal(user=limits)
    world.wait(first)
    await one.settle(await one.admit(who, tokens=10), tokens=10)
    world.wait(then - first)
    if free:
        await one.admit(who, tokens=10)
    else:
        error = await one.refuses(who, tokens=10)
        assert isinstance(error, RateLimited)
        assert error.retry_after_ms == NOON + 70_000 - world.now_ms
        world.wait(error.retry_after_ms)
        await one.admit(who, tokens=10)


PERIODS = [
    ("requests of a day", Limits(requests_per_day=1), Limit.REQUESTS_PER_DAY, RateLimited),
    ("tokens of a day", Limits(tokens_per_day=10), Limit.TOKENS_PER_DAY, RateLimited),
    ("budget of a day", Limits(budget_day=10), Limit.BUDGET_DAY, BudgetExceeded),
    ("budget of a month", Limits(budget_month=10), Limit.BUDGET_MONTH, BudgetExceeded),
]


@pytest.mark.parametrize(
    ("limits", "limit", "error_class"), [p[1:] for p in PERIODS], ids=[p[0] for p in PERIODS]
)
async def test_period(world: World, limits: Limits, limit: Limit, error_class: type[LimitError]) -> None:
    """M2, M6: what is used up until the end of a period is so to its last millisecond, and comes back then."""
    one, who = world.instance(), principal(limits)
    await one.settle(await one.admit(who, 10, 10), 10, 10)
    world.wait(MIDNIGHT - NOON - 1)
    error = await one.refuses(who, 10, 10)
    assert isinstance(error, error_class)
    assert (error.limit, error.retry_after_ms) == (limit, 1)
    world.wait(1)
    await one.admit(who, 10, 10)


async def test_total(world: World) -> None:
    """M6: a total budget never comes back, and no time is told."""
    one, who = world.instance(), principal(Limits(budget_total=10))
    await one.settle(await one.admit(who, 10), 10)
    world.wait(400 * 86_400_000)
    error = await one.refuses(who, 10)
    assert isinstance(error, BudgetExceeded)
    assert error.retry_after_ms is None


async def test_merely_held(world: World) -> None:
    """M7: money that others hold is waited for."""
    one, who = world.instance(), principal(Limits(budget_total=10))
    admission = await one.admit(who, 6)
    error = await one.refuses(who, 6)
    assert isinstance(error, BudgetInFlight)
    assert (error.retry_after_ms, error.room_nanousd) == (1_000, 10)
    await one.settle(admission, 4)
    await one.admit(who, 6)


async def test_larger_than_a_limit(world: World) -> None:
    """M6: a request that will never pass is told so."""
    one, who = world.instance(), principal(user=Limits(tokens_per_minute=10))
    error = await one.refuses(who, tokens=11)
    assert isinstance(error, RequestTooLarge)
    assert (error.limit, error.retry_after_ms) == (Limit.TOKENS_PER_MINUTE, None)
    assert "user" in error.message


@pytest.mark.parametrize("tight", ["key", "user"])
@pytest.mark.parametrize("known", [True, False], ids=["remembered", "never seen"])
async def test_both_limits_hold(world: World, tight: str, *, known: bool) -> None:
    """M2: the tighter one of key and user refuses, and the other is left as if nobody had asked."""
    wide, narrow = Limits(budget_day=1_000, max_parallel=9), Limits(budget_day=100, max_parallel=9)
    who = principal(*((narrow, wide) if tight == "key" else (wide, narrow)))
    one = world.instance()
    await one.settle(await one.admit(who, 60), 60)
    before = await world.counts(KEY), await world.counts(USER)
    asked = one if known else world.instance()
    error = await asked.refuses(who, 50)
    assert isinstance(error, BudgetExceeded)
    assert ("API key" in error.message) == (tight == "key")
    assert (await world.counts(KEY), await world.counts(USER)) == before


async def test_keys_of_one_user(world: World) -> None:
    """A user's limit binds all keys of the user together."""
    one, bound = world.instance(), Limits(requests_per_day=3)
    first, second = principal(PLENTY, bound), principal(PLENTY, bound, key_id="key_2")
    for who in (first, second, first):
        await one.admit(who)
    assert (await one.refuses(second)).limit is Limit.REQUESTS_PER_DAY
    assert (await world.counts(KEY))["day_requests"] == 2
    assert (await world.counts("key:key_2"))["day_requests"] == 1


@pytest.mark.parametrize("left", [KEY, USER])
async def test_settled_in_one_row_of_two(stores: Stores, world: World, left: str) -> None:
    """M3: a hold that a settlement has left behind in one row is ended by the next, as the record says."""
    one = world.instance()
    admission = await one.admit(principal(PLENTY, PLENTY), cost=100, tokens=9)
    ((id_, text),) = (await world.rows.read([left]))[0].holds.items()
    await one.settle(admission, cost=30, tokens=5)
    slot = f"tokens_{NOON // 5_000 % 14}"
    money = dict.fromkeys(("committed_day", "committed_month", "committed_total"), 70)
    undo = Plan(add={"in_flight": 1, "day_tokens": 4, slot: 4, **money}, put={id_: text})
    assert (await world.rows.apply([Change(left, undo)], Records())).applied
    for again in (one, world.instance()):
        await again.settle(admission, cost=50, tokens=7)
        assert await world.counts(KEY) == await world.counts(USER)
        assert (await world.counts(left))["committed_total"] == 30
        assert holds((await world.rows.read([left]))[0]) == {}
    assert await stores.usage.find(id_) == record(admission, cost=30, tokens=5)


async def test_headroom(world: World) -> None:
    """M6: an admission tells what is left of the tighter limit of key and user, and so does a refusal."""
    one = world.instance()
    who = principal(Limits(requests_per_minute=3), Limits(requests_per_minute=2, tokens_per_minute=100))
    admission = await one.admit(who, tokens=30)
    assert admission.headroom.requests == Room(limit=2, remaining=1, reset_ms=70_000)
    assert admission.headroom.tokens == Room(limit=100, remaining=70, reset_ms=70_000)
    world.wait(1_000)
    await one.admit(who, tokens=70)
    error = await one.refuses(who)
    assert error.headroom is not None
    assert error.headroom.requests == Room(limit=2, remaining=0, reset_ms=69_000)


# -- extension ---------------------------------------------------------------------------------------------------------


async def test_extended(world: World) -> None:
    """M2: another attempt is held in both rows, and settled with the first; asked again, it is the same extension."""
    one, who = world.instance(), principal(PLENTY, PLENTY)
    admission = await one.admit(who, cost=100)
    longer = await one.meter.extend(admission, 50)
    again = await one.meter.extend(admission, 50)
    assert longer.held_nanousd == again.held_nanousd == 150
    for row in (KEY, USER):
        counts = await world.counts(row)
        assert (counts["committed_day"], counts["in_flight"], counts["day_requests"]) == (150, 1, 1)
    await one.settle(longer, cost=130)
    assert (await world.counts(KEY))["committed_total"] == 130


@pytest.mark.parametrize("tight", ["key", "user"])
async def test_extension_refused(world: World, tight: str) -> None:
    """M2: an extension that one of the budgets has no room for changes neither row."""
    wide, narrow = Limits(budget_day=1_000), Limits(budget_day=120)
    one, who = world.instance(), principal(*((narrow, wide) if tight == "key" else (wide, narrow)))
    admission = await one.admit(who, cost=100)
    before = await world.counts(KEY), await world.counts(USER)
    with pytest.raises(BudgetInFlight):
        await one.meter.extend(admission, 50)
    assert (await world.counts(KEY), await world.counts(USER)) == before
    await one.settle(admission, cost=100)
    assert (await world.counts(KEY))["committed_day"] == 100


@pytest.mark.parametrize("budget", [150, 149])
async def test_extended_past_midnight(world: World, budget: int) -> None:
    """M2: on a new day that day pays for all that is held, or refuses."""
    one, who = world.instance(), principal(Limits(budget_day=budget), PLENTY)
    world.wait(MIDNIGHT - NOON - 1)
    admission = await one.admit(who, cost=100)
    world.wait(1)
    if budget < 150:
        with pytest.raises(LimitError):
            await one.meter.extend(admission, 50)
        assert "in_flight" in await world.counts(KEY)
        return
    longer = await one.meter.extend(admission, 50)
    assert (longer.held_nanousd, longer.sub_window) == (150, MIDNIGHT // 5_000)
    for row in (KEY, USER):
        counts = await world.counts(row)
        assert (counts["committed_day"], counts["committed_total"]) == (150, 150)
    await one.settle(longer, cost=70)
    for row in (KEY, USER):
        counts = await world.counts(row)
        assert (counts["committed_day"], counts["committed_total"]) == (70, 70)


async def test_extended_too_late(world: World) -> None:
    """M4: a hold that has expired and was swept is not extended, and nothing more is held."""
    one, other, who = world.instance(), world.instance(), principal(PLENTY, PLENTY)
    admission = await one.admit(who, cost=100, lifetime_s=60)
    world.wait(60_000)
    await other.admit(principal(user=PLENTY))  # another key's: it sweeps the user's row alone
    before = await world.counts(KEY), await world.counts(USER)
    with pytest.raises(StorageUnavailable):
        await one.meter.extend(admission, 50)
    assert (await world.counts(KEY), await world.counts(USER)) == before
