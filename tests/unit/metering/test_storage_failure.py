"""M8: what becomes of requests while the storage fails, by what their plans say."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from common.adapters.memory import MemoryRows
from common.metering.rows import Change, Outcome, Records
from common.model.errors import RateLimited, StorageContended, StorageUnavailable
from common.model.limits import Headroom, Limits
from common.model.principal import Principal
from tests.support.metered import KEY, NOON, USER, Instance, World, principal, record

RATES: Final = Limits(requests_per_minute=10, tokens_per_day=1_000)


class FailingRows(MemoryRows):
    """`MemoryRows` that can be switched off, with or without doing first what was asked."""

    fails = False
    does_first = False
    turns = False

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """See `Rows.apply`."""
        if self.turns:
            return Outcome(applied=False, standings=await self.read([change.row for change in changes]))
        if self.fails and not self.does_first:
            raise StorageUnavailable("The database failed.")
        outcome = await super().apply(changes, records)
        if self.fails:
            raise StorageUnavailable("The reply was lost.")
        return outcome


@pytest.fixture
def rows() -> FailingRows:
    """Without a row."""
    return FailingRows()


@pytest.fixture
def world(rows: FailingRows) -> World:
    """At noon, with nobody in it."""
    return World(rows)


@pytest.fixture
def one(world: World) -> Instance:
    """The instance under test."""
    return world.instance()


def lenient(key: Limits = RATES, user: Limits = RATES) -> Principal:
    """One whose plans let requests pass."""
    return replace(principal(key, user), needs_no_storage=True)


async def test_refused(rows: FailingRows, one: Instance) -> None:
    """Without a word in the plan, no request is admitted that is not held."""
    rows.fails = True
    with pytest.raises(StorageUnavailable):
        await one.admit(principal(RATES, RATES))


async def test_admitted_without_a_hold(rows: FailingRows, one: Instance) -> None:
    """Where the plans allow it, the request passes; nothing is known of what is left."""
    rows.fails = True
    admission = await one.admit(lenient(), tokens=100)
    assert not admission.booked
    assert admission.headroom == Headroom(None, None)
    assert admission.sub_window == NOON // 5_000
    assert rows.standings == {}


async def test_one_more_attempt(rows: FailingRows, one: Instance) -> None:
    """What has no hold needs none for another attempt either, whether the storage is back or not."""
    rows.fails = True
    admission = await one.admit(lenient(), cost=100)
    for rows.fails in (True, False):
        assert (await one.meter.extend(admission, 50)).held_nanousd == 150


async def test_settled_when_the_storage_is_back(rows: FailingRows, world: World, one: Instance) -> None:
    """Settling fails as long as the storage does, so that it is tried again; then the record is kept, once."""
    rows.fails = True
    admission = await one.admit(lenient(), tokens=100)
    with pytest.raises(StorageUnavailable):
        await one.settle(admission, cost=30, tokens=80)
    rows.fails = False
    await one.settle(admission, cost=30, tokens=80)
    await one.settle(admission, cost=40, tokens=90)
    assert rows.records == {admission.ask.request_id: record(admission, cost=30, tokens=80)}
    assert await world.counts(KEY) == await world.counts(USER) == {}, "it was never counted"


async def test_a_hold_that_was_made_all_the_same(rows: FailingRows, world: World, one: Instance) -> None:
    """A write whose reply was lost has left a hold: the settlement finds it, and replaces it."""
    rows.fails = rows.does_first = True
    admission = await one.admit(lenient(), tokens=100)
    assert not admission.booked
    rows.fails = False
    await one.settle(admission, tokens=80)
    for row in (KEY, USER):
        assert rows.standings[row].holds == {}
        assert (await world.counts(row))["day_tokens"] == 80


async def test_limits_hold_again(rows: FailingRows, one: Instance) -> None:
    """With the storage back, the next request is counted, and refused as ever."""
    who = lenient(Limits(requests_per_minute=1))
    rows.fails = True
    for _ in range(3):
        await one.admit(who)
    rows.fails = False
    assert (await one.admit(who)).booked
    assert isinstance(await one.refuses(who), RateLimited)


async def test_a_row_that_others_change(rows: FailingRows, one: Instance) -> None:
    """A storage that works lets nobody pass: else a crowd would be how to get by a limit."""
    rows.turns = True
    with pytest.raises(StorageContended):
        await one.admit(lenient())


async def test_told_once_a_minute(
    rows: FailingRows, world: World, one: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """The first is told at once, the others together, at most every minute."""
    rows.fails = True
    with caplog.at_level(logging.WARNING, "sluice.limits"):
        for _ in range(5):
            await one.admit(lenient())
        assert len(caplog.messages) == 1
        assert caplog.messages[0].endswith(": 1")
        world.wait(60_000)
        await one.admit(lenient())
    assert [message.rpartition(": ")[2] for message in caplog.messages] == ["1", "5"]
    assert "The database failed." in caplog.messages[0]
