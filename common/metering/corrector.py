"""A correction: what a provider says that it charges, in place of the bound that was booked until then.

The record and the rows that count it change together, on the condition that the record still awaits the correction: so
it is made once, whoever else makes it. A row that does not know yet that the request is settled is told both at once.
"""

from typing import Final

from common.metering import decision
from common.metering.alerts import LogAlerts
from common.metering.decision import Actual
from common.metering.meter import TRIES
from common.metering.plan import Plan
from common.metering.rows import Change, Records, Rows
from common.metering.standing import Hold, Standing
from common.metering.watch import Overrun
from common.model.errors import StorageContended
from common.model.usage import CountedIn, Provisional, UsageRecord
from common.ports import Clock

_NO_ROW: Final = CountedIn(0)
_alert: Final = LogAlerts()


async def correct(rows: Rows, clock: Clock, booked: UsageRecord, record: UsageRecord) -> bool:
    """Put `record` in place of `booked`, which awaits it; whether that was done here, and not by another before."""
    names = _rows_of(booked)
    standings = await rows.read(names) if names else ()
    for _ in range(TRIES):
        now_ms = clock.now_ms()
        changes = [
            Change(name, _plan(standing, booked, record, now_ms))
            for name, standing in zip(names, standings, strict=True)
        ]
        outcome = await rows.apply(changes, Records(record, corrects=Provisional.AWAITING))
        if outcome.applied:
            if record.cost_nanousd > record.held_nanousd:
                for name in names:
                    _alert(Overrun(name, record.request_id, record.held_nanousd, record.cost_nanousd))
            return True
        known = await rows.find(booked.request_id)
        if known is None or known.provisional is not Provisional.AWAITING:
            return False
        standings = outcome.standings
    raise StorageContended("The meter's row changes too fast. Try again.")


def _rows_of(booked: UsageRecord) -> list[str]:
    counted = booked.awaiting or _NO_ROW
    names = {CountedIn.KEY: f"key:{booked.key_id}", CountedIn.USER: f"user:{booked.user}"}
    return [name for row, name in names.items() if row in counted]


def _plan(standing: Standing, booked: UsageRecord, record: UsageRecord, now_ms: int) -> Plan:
    actual = Actual(record.cost_nanousd, record.tokens.total)
    if booked.request_id in standing.holds:
        return decision.settle(standing, booked.request_id, actual, now_ms)
    was = Hold(booked.request_id, booked.cost_nanousd, booked.tokens.total, booked.sub_window)
    return decision.correct(standing, was, actual, now_ms)
