"""The contract of `Meter` over every engine's rows: many requests at once, instances that differ in what they know."""

import asyncio
import random

import pytest

from common.metering.plan import Plan
from common.metering.rows import Change, Records
from common.model.admission import Admission
from common.model.errors import LimitError, StorageUnavailable
from common.model.ids import RequestId
from common.model.limits import UNLIMITED, Limit, Limits
from common.model.principal import Principal
from tests.contract.adapters import Stores
from tests.support.metered import KEY, MIDNIGHT, NOON, USER, Instance, World, attempts, holds, principal

LAST_UNIT = [
    ("requests", Limits(requests_per_minute=20), Limit.REQUESTS_PER_MINUTE),
    ("tokens", Limits(tokens_per_minute=209), Limit.TOKENS_PER_MINUTE),
    ("money", Limits(budget_month=2_099), Limit.BUDGET_MONTH),
    ("parallel requests", Limits(max_parallel=20), Limit.MAX_PARALLEL),
]


@pytest.fixture
def world(stores: Stores) -> World:
    """At noon, with nobody in it."""
    return World(stores.rows)


@pytest.mark.parametrize(("limits", "limit"), [u[1:] for u in LAST_UNIT], ids=[u[0] for u in LAST_UNIT])
async def test_last_unit(world: World, limits: Limits, limit: Limit) -> None:
    """M1, M2: of fifty requests at once, of two instances, exactly as many are admitted as fit, eighteen."""
    instances = [world.instance(), world.instance()]
    who = principal(Limits(requests_per_minute=1_000), limits)
    admitted = [await instance.admit(who, cost=100, tokens=10) for instance in instances]
    outcomes = await attempts(instances[nth % 2].admit(who, cost=100, tokens=10) for nth in range(50))
    refused = [outcome for outcome in outcomes if isinstance(outcome, LimitError)]
    assert len(outcomes) - len(refused) + len(admitted) == 20
    assert {error.limit for error in refused} == {limit}
    for row in (KEY, USER):
        counts = await world.counts(row)
        assert (counts["in_flight"], counts["day_requests"]) == (20, 20)
        assert (counts["day_tokens"], counts["committed_total"]) == (200, 2_000)


async def test_last_unit_as_the_window_moves(world: World) -> None:
    """M1: a new sub-window, in which what is seen is cleared, lets nobody pass twice."""
    one, other = world.instance(), world.instance()
    who = principal(Limits(requests_per_minute=10))
    for instance in (one, other):
        await instance.admit(who)
    world.wait(70_000)
    outcomes = await attempts([one, other][nth % 2].admit(who) for nth in range(24))
    assert sum(isinstance(outcome, Admission) for outcome in outcomes) == 10


async def test_both_are_tight(world: World) -> None:
    """M2: three keys compete for their user's budget, each within its own; nothing is left held by the refused."""
    one, other = world.instance(), world.instance()
    keys = [
        principal(Limits(budget_day=800), Limits(budget_day=1_000), key_id=f"key_{nth}") for nth in range(3)
    ]
    calls = [[one, other][nth % 2].admit(keys[nth % 3], cost=100) for nth in range(30)]
    outcomes = await attempts(calls)
    by_row = {row: await world.counts(row) for row in (USER, "key:key_0", "key:key_1", "key:key_2")}
    user = by_row.pop(USER)
    admitted = sum(isinstance(outcome, Admission) for outcome in outcomes)
    assert admitted <= 10
    assert user["committed_day"] == 100 * admitted == 100 * user["in_flight"]
    assert sum(counts.get("committed_day", 0) for counts in by_row.values()) == 100 * admitted
    assert sum(counts.get("day_requests", 0) for counts in by_row.values()) == admitted


async def test_held_money_is_spendable(world: World) -> None:
    """M7: what is given back by settlements is admitted at once, by whoever asks next."""
    one, other = world.instance(), world.instance()
    who = principal(Limits(budget_day=100))
    for _ in range(5):
        admission = await one.admit(who, cost=100)
        assert (await other.refuses(who, cost=100)).limit is Limit.BUDGET_DAY
        await one.settle(admission)
    await other.admit(who, cost=100)


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-2_000, 2_000])
@pytest.mark.parametrize("start", [0, 4_999])
async def test_clocks_that_differ(world: World, start: int, ahead: int) -> None:
    """M1: with clocks 2 s off, one to each side, no minute of true time has one admission too many."""
    one, other = world.instance(-ahead), world.instance(ahead)
    who = principal(Limits(requests_per_minute=2), Limits(requests_per_minute=3))
    world.wait(start)
    await one.admit(who)
    await other.admit(who)
    world.wait(60_000)
    for instance in (one, other):
        assert (await instance.refuses(who)).limit is Limit.REQUESTS_PER_MINUTE
    world.wait(14_000)
    await one.admit(who)


@pytest.mark.parametrize("behind", [2_000, 3_600_000])
async def test_a_clock_that_goes_back(world: World, behind: int) -> None:
    """M1, M2: whoever is late books where the rows already are, and waits as long as they say."""
    one, late = world.instance(), world.instance(-behind)
    who = principal(Limits(requests_per_minute=3, budget_day=100))
    await one.admit(who, cost=10)
    admission = await late.admit(who, cost=10)
    await late.settle(admission, cost=5)
    assert (await one.admit(who)).sub_window == admission.sub_window == NOON // 5_000
    error = await late.refuses(who)
    assert error.retry_after_ms == 70_000 + behind
    assert (await world.counts(KEY))["committed_day"] == 15


async def test_one_midnight_for_both_rows(world: World) -> None:
    """M2, M4: a row whose day has turned by a faster clock turns the other's, so one record tells the day of both."""
    world.wait(MIDNIGHT - NOON - 1_000)
    fast, slow = world.instance(2_000), world.instance()
    who = principal(Limits(budget_day=100), Limits(budget_day=100))
    await slow.settle(await slow.admit(who, cost=40), cost=40)
    await fast.settle(await fast.admit(principal(user=Limits(budget_day=100), key_id="key_2")))
    admission = await slow.admit(who, cost=90, lifetime_s=60)
    assert admission.sub_window == MIDNIGHT // 5_000
    for row in (KEY, USER):
        (hold,) = holds((await world.rows.read([row]))[0]).values()
        assert hold.sub_window == admission.sub_window
        assert (await world.counts(row))["committed_day"] == 90
    world.wait(60_000)
    await fast.admit(who)
    await slow.settle(admission, cost=30)
    assert (await world.counts(KEY))["committed_day"] == (await world.counts(USER))["committed_day"] == 30


# -- what an instance remembers ----------------------------------------------------------------------------------------


async def test_refused_only_on_what_is_so(world: World) -> None:
    """M6: money and places that another instance has given back are seen by one that remembers them as taken."""
    one, other = world.instance(), world.instance()
    who = principal(Limits(budget_total=100, max_parallel=1, tokens_per_day=100))
    admission = await one.admit(who, cost=100, tokens=100)
    await one.refuses(who, cost=1)
    await other.settle(admission)
    await one.admit(who, cost=100, tokens=100)


async def test_admitted_only_on_what_is_so(world: World) -> None:
    """M2: a budget that another instance has spent is seen by one that remembers it as unspent."""
    one, other = world.instance(), world.instance()
    who = principal(Limits(budget_total=100))
    await one.settle(await one.admit(who, cost=10), cost=10)
    await other.settle(await other.admit(who, cost=90), cost=90)
    assert (await one.refuses(who, cost=10)).retry_after_ms is None


async def test_a_full_window_is_not_remembered_for_long(world: World) -> None:
    """M6: an admission that was made void elsewhere is missed for a second at most."""
    one, other = world.instance(), world.instance()
    limits = Limits(requests_per_minute=1)
    await other.admit(principal(limits))
    await one.refuses(principal(limits))
    given_back = Plan(add={f"requests_{NOON // 5_000 % 14}": -1})
    assert (await world.rows.apply([Change(KEY, given_back)], Records())).applied
    world.wait(1_000)
    await one.admit(principal(limits))


# -- anything, in any order --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
async def test_books_balance(stores: Stores, world: World, seed: int) -> None:
    """M2 to M4: after any mixture of calls at once, each row has committed what records and open holds say."""
    crowd = Crowd(world, random.Random(seed))
    for _ in range(5):
        await crowd.rush()
    await crowd.check(stores)
    world.wait(700_000)
    await crowd.finish()
    await crowd.check(stores)


class Crowd:
    """Two keys of one user at three instances, whose clocks differ."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.instances = [world.instance(skew) for skew in (-2_000, 0, 2_000)]
        user = Limits(requests_per_minute=60, budget_day=3_000)
        self.keys = [
            principal(Limits(max_parallel=9, tokens_per_day=900), user),
            principal(UNLIMITED, user, key_id="key_2"),
        ]
        self.open: list[Admission] = []
        self.all: list[Admission] = []
        self.lasting: list[Admission] = []  # whose holds outlive the rush
        self.settled: set[RequestId] = set()

    async def rush(self) -> None:
        """A few calls at once, then some time."""
        outcomes = await asyncio.gather(*(self._call() for _ in range(12)), return_exceptions=True)
        assert all(isinstance(outcome, LimitError | None) for outcome in outcomes), outcomes
        self.world.wait(self.rng.choice([0, 700, 5_000, 20_000]))

    async def finish(self) -> None:
        """By now all holds have expired, and the next admission of each key comes across them."""
        for who in self.keys:
            await self._settle(self.instances[1], await self.instances[1].admit(who))

    async def _call(self) -> None:
        instance = self.rng.choice(self.instances)
        match self.rng.choice(["admit", "admit", "settle", "again", "extend"]):
            case "admit":
                await self._admit(instance, self.rng.choice(self.keys))
            case "settle" if self.open:
                await self._settle(instance, self.open.pop(self.rng.randrange(len(self.open))))
            case "again" if self.all:
                await self._settle(instance, self.rng.choice(self.all))
            case "extend" if self.lasting:
                await self._extend(instance, self.rng.choice(self.lasting))
            case _:
                pass

    async def _admit(self, instance: Instance, who: Principal) -> None:
        cost, tokens = self.rng.choice([0, 30, 100]), self.rng.choice([0, 10, 40])
        lifetime_s = self.rng.choice([15, 600])
        admission = await instance.admit(who, cost, tokens, lifetime_s)
        self.open.append(admission)
        self.all.append(admission)
        if lifetime_s == 600:
            self.lasting.append(admission)

    async def _extend(self, instance: Instance, admission: Admission) -> None:
        try:
            await instance.meter.extend(admission, self.rng.choice([10, 90]))
        except StorageUnavailable:
            assert admission.ask.request_id in self.settled, "a hold that is open is not extended"

    async def _settle(self, instance: Instance, admission: Admission) -> None:
        self.settled.add(admission.ask.request_id)
        share = self.rng.choice([0, 1, 2])
        await instance.settle(
            admission, admission.ask.cost_nanousd * share // 2, admission.ask.tokens * share // 2
        )

    async def check(self, stores: Stores) -> None:
        """The rows against the records."""
        records = [await stores.usage.find(admission.ask.request_id) for admission in self.all]
        costs = {found.request_id: found.cost_nanousd for found in records if found is not None}
        rows = {USER: {admission.ask.request_id for admission in self.all}}
        rows[KEY] = {each.ask.request_id for each in self.all if each.ask.principal is self.keys[0]}
        for row, ids in rows.items():
            (standing,) = await self.world.rows.read([row])
            held = {id_: hold.cost_nanousd for id_, hold in holds(standing).items()}
            counts = standing.counts
            assert counts["in_flight"] == len(held)
            assert counts["committed_day"] <= 3_000
            assert counts["committed_total"] == sum(held.get(id_, costs.get(id_, 0)) for id_ in ids)
            assert ids <= held.keys() | costs.keys(), "M4: a request is neither held nor recorded"
