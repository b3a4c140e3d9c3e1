"""`sluice usage repair`: dead letters become records, holds become what was used."""

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from common.adapters.clock import SystemClock
from common.adapters.dead_letters import FileDeadLetters
from common.adapters.sql.rows import SqlRows
from common.adapters.sql.sqlite import open_sqlite
from common.cli.root import sluice
from common.metering.meter import LimitMeter
from common.metering.standing import COMMITTED_TOTAL, IN_FLIGHT
from common.model.admission import Ask
from common.model.ids import new_request_id
from common.model.limits import Limits
from common.model.principal import Principal
from common.targets.local import DATABASE, DEAD_LETTERS
from tests.support.records import usage_record


async def _admitted_and_lost(data: Path) -> str:
    """A request that was admitted, and whose settlement became a letter."""
    clock = SystemClock()
    template = usage_record(0)
    principal = Principal(template.key_id, template.user, frozenset(), Limits(budget_total=10**10))
    request_id = new_request_id(clock.now_ms() // 1000 + 600, random.Random(1))
    async with open_sqlite(data / DATABASE) as database:
        meter = LimitMeter(SqlRows(database), clock)
        await meter.admit(Ask(request_id, principal, clock.now_ms(), tokens=10, cost_nanousd=2_000_000))
    await FileDeadLetters(data / DEAD_LETTERS).put(replace(template, request_id=request_id))
    return request_id


def test_repair(tmp_path: Path) -> None:
    """The hold is replaced by the cost, the record is there, and a second run has nothing to do."""
    asyncio.run(_admitted_and_lost(tmp_path))
    first = CliRunner().invoke(sluice, ["usage", "repair", "--data", str(tmp_path), "--json"])
    assert (first.exit_code, json.loads(first.output)) == (0, {"settled": 1, "left": 0})

    async def look() -> None:
        async with open_sqlite(tmp_path / DATABASE) as database:
            rows = SqlRows(database)
            (standing,) = await rows.read([f"key:{usage_record(0).key_id}"])
        assert standing.counts[COMMITTED_TOTAL] == usage_record(0).cost_nanousd
        assert standing.counts[IN_FLIGHT] == 0

    asyncio.run(look())
    again = CliRunner().invoke(sluice, ["usage", "repair", "--data", str(tmp_path)])
    assert (again.exit_code, again.output) == (0, "There is nothing to repair.\n")
