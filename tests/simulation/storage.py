"""The shared store, `Rows` in memory behind a network: what is asked takes its way there, and the answer its way back.

A call keeps the promise of a port, to answer or fail within a second; whether what it asked was done is another matter.
A write that is on its way arrives though its sender has died.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from common.adapters.memory import MemoryRows
from common.metering.rows import Change, Outcome, Page, Records
from common.metering.standing import EMPTY, Standing
from common.model.errors import StorageUnavailable
from common.model.ids import RequestId
from common.model.usage import UsageRecord
from tests.simulation.invariants import Invariants
from tests.simulation.loop import VirtualLoop

T = TypeVar("T")
LONGEST_S = 1.0  # of one call, as `ports.py` promises


class Fate(StrEnum):
    """What becomes of one call."""

    DONE = "is answered"
    FAILS = "fails"  # nothing was done
    LOST = "is done, and told to have failed"
    LATE = "is told to have failed, and done much later"
    AGAIN = "is done twice"  # the adapter did not hear, asked again, and is told about the second time
    GHOST = "is done, and once more much later"  # of admissions and settlements


@dataclass(frozen=True, slots=True)
class StorageFaults:
    """How often a call meets each fate, and how slow the network is."""

    fails: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    again: float = 0.0
    ghost: float = 0.0
    outage: float = 0.0  # how often a call begins a time in which all fail
    slow: float = 0.0  # how often a call takes up to `LONGEST_S`, not some milliseconds


class Storage:
    """`Rows` for all processes of one world."""

    def __init__(
        self,
        rows: MemoryRows,
        faults: StorageFaults,
        *,
        loop: VirtualLoop,
        rng: random.Random,
        invariants: Invariants,
        say: Callable[..., None],
        hazard: Callable[..., Coroutine[Any, Any, None]],
    ) -> None:
        self.rows = rows
        self.faults = faults
        self.calls = 0
        self._loop = loop
        self._rng = rng
        self._invariants = invariants
        self._say = say
        self._hazard = hazard
        self._down_until_s = 0.0

    def calm(self) -> None:
        """From now on all is well."""
        self.faults = StorageFaults()
        self._down_until_s = 0.0

    async def read(self, rows: Sequence[str]) -> Sequence[Standing]:
        """See `Rows.read`."""
        return await self._ask(lambda: at_once(self.rows.read(rows)))

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `Rows.find`."""
        return await self._ask(lambda: at_once(self.rows.find(request_id)))

    async def awaiting(self, after: str = "") -> Sequence[UsageRecord]:
        """See `Rows.awaiting`."""
        return await self._ask(lambda: at_once(self.rows.awaiting(after)))

    async def expired(self, now_ms: int, after: str = "") -> Page:
        """See `Rows.expired`."""
        return await self._ask(lambda: at_once(self.rows.expired(now_ms, after)))

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """See `Rows.apply`."""
        return await self._ask(
            lambda: self._carry_out(changes, records, in_time=True),
            late=lambda: self._carry_out(changes, records, in_time=False),
            echoes=records.settled is not None or any(change.plan.hold for change in changes),
        )

    async def _ask(
        self, act: Callable[[], T], *, late: Callable[[], T] | None = None, echoes: bool = False
    ) -> T:
        self.calls += 1
        await self._hazard(may_pause=late is None)  # a write begins when the clock is read for it
        fate = self._fate(writes=late is not None, echoes=echoes)
        there, back = self._ways()
        if fate is not Fate.DONE:
            self._say("a call to the store %s", fate)
        reply: asyncio.Future[T] = self._loop.create_future()
        later = self._loop.call_later

        def arrive() -> None:
            outcome = act()
            if fate is Fate.AGAIN:
                outcome = act()
            if fate is Fate.LOST:
                later(back, _fail, reply, context=self._loop.outside)
            else:
                later(back, _tell, reply, outcome, context=self._loop.outside)

        if fate in {Fate.FAILS, Fate.LATE}:
            later(there + back, _fail, reply, context=self._loop.outside)
        else:
            later(there, arrive, context=self._loop.outside)
        if fate in {Fate.LATE, Fate.GHOST} and late is not None:
            later(self._much_later_s(), late, context=self._loop.outside)
        result = await reply
        await self._hazard()
        return result

    def _fate(self, *, writes: bool, echoes: bool) -> Fate:
        faults, rng, now = self.faults, self._rng, self._loop.time()
        if now < self._down_until_s:
            return Fate.FAILS
        if rng.random() < faults.outage:
            self._down_until_s = now + rng.choice([1.0, 20.0, 400.0])
            return Fate.FAILS
        draw = rng.random()
        for fate, share in (
            (Fate.FAILS, faults.fails),
            (Fate.LOST, faults.lost if writes else 0.0),
            (Fate.LATE, faults.late if writes else 0.0),
            (Fate.AGAIN, faults.again if writes else 0.0),
            (Fate.GHOST, faults.ghost if echoes else 0.0),
        ):
            if draw < share:
                return fate
            draw -= share
        return Fate.DONE

    def _ways(self) -> tuple[float, float]:
        """Seconds there, and seconds back; on a grid, so that things meet in one instant."""
        rng = self._rng
        if rng.random() < self.faults.slow:
            there = rng.randrange(0, 900) / 1000
            return there, LONGEST_S - there - 0.001
        return rng.choice((0.0, 0.001, 0.002, 0.005, 0.02)), rng.choice((0.0, 0.001, 0.002, 0.005))

    def _much_later_s(self) -> float:
        return self._rng.choice((0.3, 2.0, 7.0, 61.0, 3_599.0, 3_601.0, 7_000.0)) + self._rng.random()

    def _carry_out(self, changes: Sequence[Change], records: Records, *, in_time: bool) -> Outcome:
        """Do it, and hold what became of it against the log."""
        rows, names = self.rows, [change.row for change in changes]
        before = {name: rows.standings.get(name, EMPTY) for name in names}
        outcome = at_once(rows.apply(changes, records))
        self._say("%s: %s %s", "written" if outcome.applied else "not written", changes, records)
        if outcome.applied:
            self._invariants.changed(
                self._loop.time(),
                {name: (before[name], rows.standings[name]) for name in names},
                rows.records,
                records.settled,
                records.corrects,
                in_time=in_time,
            )
        return outcome


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """The outcome of a coroutine that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as stop:
        outcome: T = stop.value
        return outcome
    raise AssertionError("it waits")


def _tell(reply: asyncio.Future[T], outcome: T) -> None:
    if not reply.done():
        reply.set_result(outcome)


def _fail(reply: asyncio.Future[T]) -> None:
    if not reply.done():
        reply.set_exception(StorageUnavailable("The simulated store is not to be reached."))
