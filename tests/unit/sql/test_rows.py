"""Plans as statements: what every engine of SQLite's dialect is asked, tried on SQLite itself, held to D1's bounds."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from common.adapters.sql import rows as translation
from common.adapters.sql.database import Database, Rows, Statement
from common.adapters.sql.rows import SqlRows
from common.adapters.sql.sqlite import open_sqlite
from common.metering import decision
from common.metering.decision import Actual, Ask
from common.metering.plan import SWEPT_AT_ONCE, Plan
from common.metering.rows import Change, Records
from common.metering.standing import EMPTY, Hold
from common.metering.window import SUB_WINDOW_MS
from common.model.limits import MAX_NANOUSD, Limits
from tests.contract.plans import Case, cases, holding, request_id, usage
from tests.contract.twins import Twins
from tests.support.metered import MIDNIGHT

ALL: Final = Limits(9_000, 10**6, 9_000, 10**6, 99, 10**9, 10**9, MAX_NANOUSD)
MOST_PARAMETERS: Final = 100  # https://developers.cloudflare.com/d1/platform/limits/ (2026-08-20)
LONGEST_STATEMENT: Final = 100_000  # bytes, the same page


class Recorder:
    """A `Database` that keeps what it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.batches: list[tuple[Statement, ...]] = []
        self.most_parameters = 0

    async def run(self, *statements: Statement) -> Sequence[Rows]:
        """See `Database.run`."""
        self.batches.append(statements)
        return await self._database.run(*statements)

    def assert_within_bounds(self) -> None:
        """D1 takes every statement that was asked since the last look."""
        for statement in (statement for batch in self.batches for statement in batch):
            assert len(statement.parameters) <= MOST_PARAMETERS
            assert len(statement.sql) <= LONGEST_STATEMENT
            self.most_parameters = max(self.most_parameters, len(statement.parameters))
        self.batches.clear()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Recorder]:
    """A new file."""
    async with open_sqlite(tmp_path / "sluice.db") as opened:
        yield Recorder(opened)


@pytest.fixture
def twins(database: Recorder) -> Twins:
    """The statements and the oracle, both empty."""
    return Twins(SqlRows(database))


@given(case=cases())
@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=list(HealthCheck),
)
async def test_as_the_oracle_does(twins: Twins, database: Recorder, case: Case) -> None:
    """Whatever is asked of whatever rows: the same is done or nothing is, within the bounds of a statement."""
    await twins.try_case(case)
    database.assert_within_bounds()


async def test_largest_plans(twins: Twins, database: Recorder) -> None:
    """Also the first request of a new year by all limits, with as many expired holds as are swept at once."""
    crowd = [
        Hold(request_id(MIDNIGHT - 1_000, nth), 10**9, 60_000, MIDNIGHT // SUB_WINDOW_MS - 15)
        for nth in range(SWEPT_AT_ONCE)
    ]
    row = holding(*crowd, sub_window=MIDNIGHT // SUB_WINDOW_MS - 15)
    plan = decision.admit(row, ALL, Ask(request_id(MIDNIGHT + 60_000, 0), 7, 7), MIDNIGHT)
    assert isinstance(plan, Plan)
    assert len(plan.set_to) + len(plan.add) >= 35
    assert len(plan.swept) == SWEPT_AT_ONCE
    abandoned = tuple(replace(usage(0, abandoned=True), request_id=hold.id) for hold in crowd)
    names = await twins.make(row, row)
    assert (await twins.apply([Change(name, plan) for name in names], Records(abandoned=abandoned))).applied
    database.assert_within_bounds()
    assert database.most_parameters <= 60


async def test_texts_are_few(twins: Twins) -> None:
    """One statement serves every plan that names the same attributes, whatever its values."""
    before = translation._texts.cache_info().currsize
    row = EMPTY
    for nth in range(20):
        ask = Ask(request_id(MIDNIGHT + 60_000, nth), nth, nth + 1)
        plan = decision.admit(row, ALL, ask, MIDNIGHT)
        assert isinstance(plan, Plan)
        (row,) = (await twins.apply([Change("key:texts", plan)])).standings
    for nth in range(20):
        plan = decision.settle(row, request_id(MIDNIGHT + 60_000, nth), Actual(nth, nth), MIDNIGHT)
        (row,) = (await twins.apply([Change("key:texts", plan)])).standings
    assert translation._texts.cache_info().currsize - before <= 6
