"""The contract of a correction over every engine's rows: what a provider says in the end replaces what was booked."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from common.adapters.clock import SystemClock
from common.metering.corrector import correct
from common.metering.rows import Records
from common.model.limits import UNLIMITED, Limits
from common.model.usage import CountedIn, Tokens, UsageRecord
from tests.contract.adapters import Stores
from tests.support.clock import FakeClock
from tests.support.metered import KEY, USER, Instance, World, principal, record

LIMITS = Limits(budget_total=1_000, budget_day=1_000, tokens_per_day=1_000)
BOTH = CountedIn.KEY | CountedIn.USER


@pytest.fixture
def world(stores: Stores) -> World:
    """At noon, with nobody in it."""
    return World(stores.rows)


async def booked(one: Instance, counted: CountedIn = BOTH) -> UsageRecord:
    """The record of a request that is settled with all that it held, 100 for 20 tokens, and awaits a correction."""
    key = LIMITS if CountedIn.KEY in counted else UNLIMITED
    user = LIMITS if CountedIn.USER in counted else UNLIMITED
    admission = await one.admit(principal(key, user), cost=100, tokens=50)
    awaiting = replace(record(admission, cost=100, tokens=20), awaiting=counted)
    await one.meter.settle(admission, awaiting)
    return awaiting


def final(of: UsageRecord, cost: int, tokens: int) -> UsageRecord:
    """What is known in the end."""
    return replace(of, cost_nanousd=cost, tokens=Tokens(input=tokens), awaiting=None)


@pytest.mark.parametrize(("cost", "tokens"), [(30, 5), (0, 0), (100, 20), (130, 25)])
async def test_corrected(
    stores: Stores, world: World, caplog: pytest.LogCaptureFixture, cost: int, tokens: int
) -> None:
    """Rows and record say what is known in the end, though it is more; another correction finds nothing to do.

    More than was held is told of, once for each row.
    """
    awaiting = await booked(world.instance())
    right, wrong = final(awaiting, cost, tokens), final(awaiting, 7, 7)
    assert await correct(stores.rows, FakeClock(world.now_ms), awaiting, right)
    assert not await correct(stores.rows, FakeClock(world.now_ms), awaiting, wrong)
    assert await stores.usage.find(awaiting.request_id) == right
    for row in (KEY, USER):
        counts = Counter(await world.counts(row))
        assert (counts["committed_total"], counts["committed_day"]) == (cost, cost)
        assert (counts["day_tokens"], counts["in_flight"]) == (tokens, 0)
    told = [text for text in caplog.messages if text.startswith("budget overrun")]
    assert len(told) == (2 if cost > awaiting.held_nanousd else 0)


async def test_at_the_same_time(stores: Stores, world: World) -> None:
    """M4: of several at once, one does it."""
    awaiting = await booked(world.instance())
    clock = FakeClock(world.now_ms)
    done = await asyncio.gather(
        *(correct(stores.rows, clock, awaiting, final(awaiting, cost, 5)) for cost in (10, 20, 30))
    )
    found = await stores.usage.find(awaiting.request_id)
    assert sorted(done) == [False, False, True]
    assert found is not None
    assert Counter(await world.counts(KEY))["committed_total"] == found.cost_nanousd


@pytest.mark.parametrize("counted", [CountedIn.KEY, CountedIn.USER, CountedIn(0)])
async def test_rows_that_do_not_count_it(stores: Stores, world: World, counted: CountedIn) -> None:
    """M2: a row that did not book the request is not credited, though it has limits by now."""
    one = world.instance()
    awaiting = await booked(one, counted)
    later = await one.admit(principal(LIMITS, LIMITS), cost=9)
    await one.settle(later, cost=9)
    assert await correct(stores.rows, FakeClock(world.now_ms), awaiting, final(awaiting, 30, 5))
    assert await stores.usage.find(awaiting.request_id) == final(awaiting, 30, 5)
    for flag, row in ((CountedIn.KEY, KEY), (CountedIn.USER, USER)):
        assert Counter(await world.counts(row))["committed_total"] == (39 if flag in counted else 9)


async def test_in_a_later_period(stores: Stores, world: World) -> None:
    """A correction on a later day changes what is counted for ever, and nothing of that day."""
    one = world.instance()
    awaiting = await booked(one)
    world.wait(86_400_000)
    later = await one.admit(principal(LIMITS, LIMITS), cost=9)
    await one.settle(later, cost=9)
    assert await correct(stores.rows, FakeClock(world.now_ms), awaiting, final(awaiting, 30, 5))
    counts = Counter(await world.counts(KEY))
    assert (counts["committed_total"], counts["committed_day"]) == (39, 9)


async def test_settled_again(stores: Stores, world: World) -> None:
    """M3: a settlement that comes a second time changes nothing, before the correction and after it."""
    one = world.instance()
    who = principal(LIMITS, LIMITS)
    admission = await one.admit(who, cost=100, tokens=50)
    awaiting = replace(record(admission, cost=100, tokens=20), awaiting=BOTH)
    for _ in range(2):
        await one.meter.settle(admission, awaiting)
    assert await correct(stores.rows, FakeClock(world.now_ms), awaiting, final(awaiting, 30, 5))
    await one.meter.settle(admission, awaiting)
    assert await stores.usage.find(awaiting.request_id) == final(awaiting, 30, 5)
    assert Counter(await world.counts(KEY))["committed_total"] == 30


async def test_a_row_that_does_not_know_yet(stores: Stores, world: World) -> None:
    """Where the record was written before its rows, and the process died between: both are told at once."""
    one = world.instance()
    admission = await one.admit(principal(LIMITS, LIMITS), cost=100, tokens=50)
    awaiting = replace(record(admission, cost=100, tokens=20), awaiting=BOTH)
    await stores.rows.apply([], Records(settled=awaiting))
    assert await correct(stores.rows, SystemClock(), awaiting, final(awaiting, 30, 5))
    counts = Counter(await world.counts(USER))
    assert (counts["committed_total"], counts["in_flight"]) == (30, 0)
    assert await stores.usage.find(awaiting.request_id) == final(awaiting, 30, 5)
