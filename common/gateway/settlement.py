"""Settling, until it is done or the record is laid down elsewhere. Runs in `Background`."""

import asyncio
import logging
from typing import Final

from common.model.admission import Admission
from common.model.errors import StorageUnavailable
from common.model.usage import UsageRecord
from common.ports import DeadLetters, Meter

RETRY_AFTER_S: Final = (
    0.2,
    1.0,
    3.0,
)  # in all below what a Worker has after its response, 30 s, with slow tries

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
