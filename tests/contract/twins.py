"""An engine beside the oracle."""

import itertools
from collections.abc import Sequence
from dataclasses import astuple
from typing import Final

from common.adapters.memory import MemoryRows
from common.metering.plan import Plan
from common.metering.rows import Change, Outcome, Records, Rows
from common.metering.standing import Standing
from common.model.usage import UsageRecord
from tests.contract.plans import Case

NO_RECORDS: Final = Records()


class Twins:
    """An engine and the oracle: both are asked the same, and must answer and be the same."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.oracle = rows, MemoryRows()
        self.cases = itertools.count()
        self.generation = 0
        self.agree = True

    async def make(self, *standings: Standing, known: Sequence[UsageRecord] = ()) -> list[str]:
        """Rows with these standings, and records. They are the same ones each time, as long as the twins agree."""
        if not self.agree:
            self.generation += 1
        names = [f"key:{self.generation}.{nth}" for nth in range(len(standings))]
        before = await self.oracle.read(names)
        changes = [
            Change(
                name,
                Plan(set_to=new.counts, put=new.holds, remove=tuple(old.holds.keys() - new.holds.keys())),
            )
            for name, new, old in zip(names, standings, before, strict=True)
        ]
        abandoned = tuple(each for each in known if each.abandoned)
        assert (await self.apply(changes, Records(abandoned=abandoned))).applied
        for each in known:
            if not each.abandoned:
                await self.apply([], Records(settled=each))
        return names

    async def try_case(self, case: Case) -> None:
        """Make the rows and records of a case, ask what it asks, and look at everything."""
        case = case.of_new_requests(next(self.cases))
        names = await self.make(*case.rows, known=case.known)
        changes = [Change(name, plan) for name, plan in zip(names, case.plans, strict=True)]
        await self.apply(changes, case.records)
        await self.compare(names, case.records)

    async def apply(self, changes: Sequence[Change], records: Records = NO_RECORDS) -> Outcome:
        """What the engine answers, which is what the oracle answers."""
        self.agree = False
        expected = await self.oracle.apply(changes, records)
        outcome = await self.rows.apply(changes, records)
        assert outcome.applied == expected.applied
        assert list(outcome.standings) == list(expected.standings)
        assert all(type(count) is int for each in outcome.standings for count in each.counts.values())
        self.agree = True
        return outcome

    async def compare(self, names: Sequence[str], records: Records = NO_RECORDS) -> None:
        """The rows and the records, as they then are."""
        self.agree = False
        assert list(await self.rows.read(names)) == list(await self.oracle.read(names))
        named = records.abandoned if records.settled is None else (records.settled, *records.abandoned)
        for each in named:
            found = await self.rows.find(each.request_id)
            expected = await self.oracle.find(each.request_id)
            assert found == expected
            assert _types(found) == _types(expected)
        self.agree = True


def _types(record: UsageRecord | None) -> list[type]:
    """1 and True are equal, and so are 1 and 1.0."""
    return [] if record is None else [type(value) for value in (*astuple(record), *record.tokens)]
