"""`Meter` in SQL: an unlimited plan, so only `settle` writes."""

from common.adapters.sql.database import Database
from common.adapters.sql.usage import write_once
from common.model.admission import Ask, Hold
from common.model.usage import UsageRecord


class SqlMeter:
    """A `Meter`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(self, ask: Ask) -> Hold:
        """See `Meter.admit`."""
        return Hold(ask)

    async def settle(self, hold: Hold, record: UsageRecord) -> None:  # noqa: ARG002 - without limits, it holds nothing
        """See `Meter.settle`."""
        await self._database.run(write_once(record))
