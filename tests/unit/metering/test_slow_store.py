"""M1 where a process is slow, or frozen, between its clock and its write."""

from collections.abc import Callable, Sequence

import pytest

from common.adapters.memory import MemoryRows
from common.metering.rows import Change, Outcome, Records
from common.metering.standing import Standing
from common.model.errors import RateLimited
from common.model.limits import Limits
from tests.support.metered import World, principal

ONCE = principal(Limits(requests_per_minute=1))


class SlowRows(MemoryRows):
    """Something happens before the next read, or before the next write, which then fails its guards."""

    def __init__(self) -> None:
        super().__init__()
        self.before_read: Callable[[], None] | None = None
        self.before_apply: Callable[[], None] | None = None

    async def read(self, rows: Sequence[str]) -> Sequence[Standing]:
        """See `Rows.read`."""
        happen, self.before_read = self.before_read, None
        if happen is not None:
            happen()
        return await super().read(rows)

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """See `Rows.apply`."""
        happen, self.before_apply = self.before_apply, None
        if happen is not None:
            happen()
            return Outcome(applied=False, standings=await super().read([change.row for change in changes]))
        return await super().apply(changes, records)


@pytest.mark.parametrize("before", ["before_read", "before_apply"])
async def test_booked_at_the_time_of_the_write(before: str) -> None:
    """Who comes a second after an admission is refused, though that had been asked for more than a minute before."""
    rows = SlowRows()
    world = World(rows)
    frozen, other = world.instance(), world.instance()
    setattr(rows, before, lambda: world.wait(70_000))
    await frozen.admit(ONCE)
    world.wait(1_000)
    assert isinstance(await other.refuses(ONCE), RateLimited)
