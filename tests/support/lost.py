"""A data folder of a gateway that died: requests that it admitted, and that nobody settled."""

import random
from dataclasses import replace
from pathlib import Path

from common.adapters.clock import SystemClock
from common.adapters.dead_letters import FileDeadLetters
from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.sqlite import open_sqlite
from common.adapters.sql.sqlite_rows import SqliteRows
from common.metering.meter import LimitMeter
from common.model.admission import Ask
from common.model.ids import RequestId, new_request_id
from common.model.limits import Limits
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord, Principal
from common.model.usage import UsageRecord
from common.targets.local import DATABASE, DEAD_LETTERS
from tests.support.clock import FakeClock
from tests.support.records import usage_record

TEMPLATE = usage_record(0)


async def lose_requests(data: Path) -> tuple[RequestId, UsageRecord]:
    """One whose hold expired an hour ago, and one whose hold is open, and whose record is a dead letter: it."""
    now_ms = SystemClock().now_ms()
    rng = random.Random(1)
    principal = Principal(TEMPLATE.key_id, TEMPLATE.user, DEFAULT_PERMISSIONS, Limits(budget_total=10**10))
    expired = new_request_id(now_ms // 1000 - 3_600, rng)
    letter = replace(TEMPLATE, request_id=new_request_id(now_ms // 1000 + 600, rng))
    async with open_sqlite(data / DATABASE) as database:
        key = KeyRecord(TEMPLATE.key_id, b"\x01" * 32, TEMPLATE.user, "", DEFAULT_PERMISSIONS, 1)
        await SqlKeyStore(database).create(key)
        admitted_ms = now_ms - 7_200_000  # when neither had expired
        meter = LimitMeter(SqliteRows(database), FakeClock(admitted_ms))
        for id_ in (expired, letter.request_id):
            await meter.admit(Ask(id_, principal, admitted_ms, tokens=10, cost_nanousd=2_000_000))
    await FileDeadLetters(data / DEAD_LETTERS).put(letter)
    return expired, letter
