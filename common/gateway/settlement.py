"""Settling, until it is done or the record is laid down elsewhere; and taking back what was never sent.

Both run in `Background`.
"""

import asyncio
import logging
from typing import Final

from common.model.admission import Admission, Ask
from common.model.errors import StorageUnavailable
from common.model.usage import UsageRecord
from common.ports import DeadLetters, Meter

RETRY_AFTER_S: Final = (
    0.2,
    1.0,
    3.0,
)  # in all below what a Worker has after its response, 30 s, with slow tries

IN_FLIGHT_S: Final = (
    1.5  # a write that nobody waits for any more is there by then, or will never be: one second, and a way
)

_log = logging.getLogger("sluice.settlement")


async def settle(meter: Meter, dead_letters: DeadLetters, admission: Admission, record: UsageRecord) -> None:
    """Book `record`. The storage has tried for a second each time; what it never takes becomes a dead letter."""
    for delay_s in RETRY_AFTER_S:
        try:
            await meter.settle(admission, record)
        except StorageUnavailable:
            await asyncio.sleep(delay_s)
        else:
            return
    try:
        await meter.settle(admission, record)
    except StorageUnavailable:
        _log.exception("request %s could not be settled: its record is a dead letter now", record.request_id)
        await dead_letters.put(record)


async def take_back(meter: Meter, ask: Ask) -> None:
    """Undo an admission that nobody heard of. Where the storage does not answer, its hold expires and is spent."""
    for delay_s in (IN_FLIGHT_S, *RETRY_AFTER_S):
        await asyncio.sleep(delay_s)
        try:
            await meter.withdraw(ask)
        except StorageUnavailable:
            continue
        return
    _log.warning("request %s was never sent, and what it may hold could not be given back", ask.request_id)
