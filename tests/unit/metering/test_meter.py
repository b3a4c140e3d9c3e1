"""`LimitMeter` by itself: what it remembers, when it reads, how often it tries, and what it does when storage fails."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import pytest

from common.adapters.memory import MemoryRows
from common.metering import meter
from common.metering.meter import TRIES, LimitMeter
from common.metering.rows import Change, Outcome, Page, Records
from common.metering.standing import Standing
from common.model.errors import BudgetExceeded, RateLimited, StorageUnavailable
from common.model.ids import RequestId
from common.model.limits import Limit, Limits
from common.model.usage import UsageRecord
from tests.support.metered import KEY, NOON, USER, Instance, World, principal, record

PLENTY: Final = Limits(requests_per_minute=1_000, budget_total=10**12)


class WatchedRows:
    """`Rows` that tell what was asked of them, and let something happen in between."""

    def __init__(self) -> None:
        self._rows = MemoryRows()
        self.standings, self.records = self._rows.standings, self._rows.records
        self.asked: list[str] = []
        self.before_apply: Callable[[], Awaitable[None]] | None = None
        self.lose_replies = False

    async def read(self, rows: Sequence[str]) -> Sequence[Standing]:
        """See `Rows.read`."""
        self.asked.append("read")
        return await self._rows.read(rows)

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """See `Rows.apply`."""
        self.asked.append("apply")
        if self.before_apply is not None:
            interrupt, self.before_apply = self.before_apply, None
            await interrupt()
        outcome = await self._rows.apply(changes, records)
        if self.lose_replies:
            raise StorageUnavailable("The reply was lost.")
        return outcome

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `Rows.find`."""
        return await self._rows.find(request_id)

    async def awaiting(self, after: str = "") -> Sequence[UsageRecord]:
        """See `Rows.awaiting`."""
        return await self._rows.awaiting(after)

    async def expired(self, now_ms: int, after: str = "") -> Page:
        """See `Rows.expired`."""
        return await self._rows.expired(now_ms, after)

    def since(self) -> list[str]:
        """What was asked since the last look."""
        asked, self.asked = self.asked, []
        return asked


@pytest.fixture
def rows() -> WatchedRows:
    """Without a row."""
    return WatchedRows()


@pytest.fixture
def world(rows: WatchedRows) -> World:
    """At noon, with nobody in it."""
    return World(rows)


@pytest.fixture
def one(world: World) -> Instance:
    """The instance under test."""
    return world.instance()


async def test_no_read_before_a_write(rows: WatchedRows, one: Instance) -> None:
    """M5: rows are read once; from then on each call is one write, of both rows and the record."""
    who = principal(PLENTY, PLENTY)
    admission = await one.admit(who, cost=10)
    assert rows.since() == ["read", "apply"]
    longer = await one.meter.extend(admission, 5)
    await one.admit(who)
    await one.settle(longer, cost=10)
    assert rows.since() == ["apply", "apply", "apply"]


async def test_nothing_is_asked_for_who_has_no_limits(rows: WatchedRows, one: Instance) -> None:
    """M5: an admission without limits costs nothing, its settlement the record."""
    admission = await one.admit(principal(), cost=10)
    await one.meter.extend(admission, 5)
    assert rows.since() == []
    await one.settle(admission)
    assert rows.since() == ["apply"]


async def test_what_is_seen_is_kept_for_the_recent(
    rows: WatchedRows, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that was not asked for in a long time is forgotten, and read again."""
    monkeypatch.setattr(meter, "_REMEMBERED", 2)
    for key in ("key_1", "key_2", "key_1", "key_3", "key_1", "key_2"):
        await one.admit(principal(PLENTY, key_id=key))
    assert rows.since() == [*["read", "apply"] * 2, "apply", "read", "apply", "apply", "read", "apply"]


async def test_a_stale_view_costs_one_more_write(rows: WatchedRows, world: World, one: Instance) -> None:
    """M5: the row comes back with the failure, and the next plan is made from it."""
    other, who = world.instance(), principal(PLENTY)
    await one.admit(who)
    await other.admit(who)
    world.wait(5_000)
    await other.admit(who)
    rows.since()
    await one.admit(who)
    assert rows.since() == ["apply", "apply"]


async def test_refused_on_a_fresh_view(rows: WatchedRows, one: Instance) -> None:
    """M6: the row is read before a request is refused on what is remembered."""
    who = principal(Limits(budget_total=100))
    await one.settle(await one.admit(who, cost=40), cost=40)
    rows.since()
    assert isinstance(await one.refuses(who, cost=70), BudgetExceeded)
    assert rows.since() == ["read"]


async def test_refused_on_what_came_back(rows: WatchedRows, world: World, one: Instance) -> None:
    """M6: no read where the write itself told."""
    other, who = world.instance(), principal(Limits(budget_total=100))
    await one.settle(await one.admit(who, cost=40), cost=40)
    await other.settle(await other.admit(who, cost=60), cost=60)
    rows.since()
    assert isinstance(await one.refuses(who, cost=60), BudgetExceeded)
    assert rows.since() == ["apply"]


async def test_a_full_window_is_refused_without_storage(
    rows: WatchedRows, world: World, one: Instance
) -> None:
    """M5: who hammers at a full window reaches the storage once a second."""
    who = principal(Limits(requests_per_minute=1), PLENTY)
    await one.admit(who)
    rows.since()
    for _ in range(21):
        assert isinstance(await one.refuses(who), RateLimited)
        world.wait(100)
    assert rows.since() == ["read"] * 2


async def test_a_full_window_beside_another_limit(rows: WatchedRows, one: Instance) -> None:
    """M6: where another limit refuses too, the rows are read: it may have room by now, or tell another time."""
    who = principal(Limits(requests_per_minute=1), Limits(max_parallel=1))
    await one.admit(who)
    rows.since()
    await one.refuses(who)
    assert rows.since() == ["read"]


async def test_what_is_left_after_a_refusal(world: World, one: Instance) -> None:
    """M7: where money refuses, the least of what key and user have not spent is told, whatever is merely held."""
    who = principal(Limits(budget_day=100), Limits(budget_total=70))
    await one.settle(await one.admit(who, cost=20), cost=10)
    await one.admit(who, cost=40)
    error = await one.refuses(who, cost=50)
    assert (error.limit, error.room_nanousd) == (Limit.BUDGET_TOTAL, 60)
    assert (await one.refuses(principal(Limits(requests_per_minute=0)))).room_nanousd is None


async def test_a_row_that_never_stands_still(rows: WatchedRows, world: World, one: Instance) -> None:
    """A row that changes under every try is given up: nothing is held."""
    other, who = world.instance(), principal(Limits(requests_per_minute=1_000))

    async def turn() -> None:
        world.wait(5_000)
        await other.admit(who)
        rows.before_apply = turn

    await one.admit(who)
    rows.before_apply = turn
    before = len(rows.standings[KEY].holds)
    rows.since()
    with pytest.raises(StorageUnavailable, match="too fast"):
        await one.admit(who)
    assert rows.since().count("apply") == 2 * TRIES
    assert len(rows.standings[KEY].holds) == before + TRIES


async def test_time_passes_between_tries(rows: WatchedRows, world: World, one: Instance) -> None:
    """M1: each try goes by the time at which it is made, not by that of the first."""
    other, who = world.instance(), principal(PLENTY)
    await one.admit(who)

    async def wait() -> None:
        world.wait(20_000)
        await other.admit(who)
        world.wait(7_000)

    rows.before_apply = wait
    admission = await one.admit(who)
    assert admission.sub_window == (NOON + 27_000) // 5_000


async def test_settled_by_another_meanwhile(rows: WatchedRows, world: World, one: Instance) -> None:
    """M3: who comes second in a race of settlements finds the record, and leaves it."""
    other = world.instance()
    admission = await one.admit(principal(PLENTY), cost=100)

    async def settle() -> None:
        await other.settle(admission, cost=30)

    rows.before_apply = settle
    await one.settle(admission, cost=40)
    assert rows.records[admission.ask.request_id] == record(admission, cost=30)
    assert rows.standings[KEY].counts["committed_total"] == 30


async def test_swept_while_it_is_settled(rows: WatchedRows, world: World, one: Instance) -> None:
    """M4: a sweep that comes between a settlement's look and its write is corrected by the same settlement."""
    other, who = world.instance(), principal(PLENTY, PLENTY)
    admission = await one.admit(who, cost=100, lifetime_s=60)
    world.wait(60_000)

    async def sweep() -> None:
        await other.admit(who)

    rows.before_apply = sweep
    await one.settle(admission, cost=30)
    assert rows.records[admission.ask.request_id] == record(admission, cost=30)
    assert rows.standings[KEY].counts["committed_total"] == 30
    assert rows.standings[USER].counts["committed_total"] == 30


async def test_a_reply_that_was_lost(rows: WatchedRows, one: Instance) -> None:
    """M3: whoever asks again after a failure of the storage changes nothing that was done already."""
    who = principal(PLENTY, PLENTY)
    ask = one.ask(who, cost=100)
    rows.lose_replies = True
    with pytest.raises(StorageUnavailable):
        await one.meter.admit(ask)
    rows.lose_replies = False
    admission = await one.meter.admit(ask)
    assert rows.standings[KEY].counts["committed_total"] == 100
    for lost in (True, False):
        rows.lose_replies = lost
        if lost:
            with pytest.raises(StorageUnavailable):
                await one.settle(admission, cost=30)
        else:
            await one.settle(admission, cost=40)
    assert rows.standings[KEY].counts["committed_total"] == 30
    assert rows.records[ask.request_id] == record(admission, cost=30)


@pytest.mark.parametrize("left", [KEY, USER])
async def test_settled_in_one_row_of_two(rows: WatchedRows, world: World, one: Instance, left: str) -> None:
    """M3: where rows are written in turn, a process may die between them; whoever settles again ends the other hold."""
    admission = await one.admit(principal(PLENTY, PLENTY), cost=100, tokens=9)
    held = rows.standings[left]
    await one.settle(admission, cost=30, tokens=5)
    settled, rows.standings[left] = rows.standings[left], held
    for again in (one, world.instance()):
        await again.settle(admission, cost=70, tokens=8)
        assert rows.standings[left] == settled, "by what the first record says"
        assert rows.records[admission.ask.request_id] == record(admission, cost=30, tokens=5)
    assert rows.standings[KEY].counts == rows.standings[USER].counts


async def test_a_hold_that_is_nowhere(rows: WatchedRows, world: World, one: Instance) -> None:
    """M3: where the rows know nothing of a request and nobody has recorded it, its record is kept all the same."""
    admission = await one.admit(principal(PLENTY), cost=100)
    rows.standings.clear()
    await LimitMeter(rows, one.clock).settle(admission, record(admission, cost=30))
    assert rows.records[admission.ask.request_id] == record(admission, cost=30)
    assert (await world.counts(KEY)) == {}
