"""The jobs by themselves, over stores in memory: what they do, what they report, and that they may be run again."""

from dataclasses import replace
from typing import Final

import pytest

from common.adapters.memory import MemoryDeadLetters
from common.gateway.job import JobContext, in_words, run_job
from common.metering.standing import COMMITTED_TOTAL, IN_FLIGHT
from common.model.admission import Admission, Ask
from common.model.errors import StorageUnavailable
from common.model.ids import RequestId, new_request_id
from common.model.limits import Limits
from common.model.principal import DEFAULT_PERMISSIONS, Principal
from common.model.usage import UsageRecord
from common.targets.registry import job_of
from tests.support.clock import FakeClock
from tests.support.gateway import MemoryGateway, memory_gateway
from tests.support.records import usage_record

SETTINGS: Final = """
[providers.p]
kind = "openai"
base_url = "http://localhost:1/v1"
[models.m]
targets = ["p/m"]
"""
TEMPLATE: Final = usage_record(0)
WHO: Final = Principal(TEMPLATE.key_id, TEMPLATE.user, DEFAULT_PERMISSIONS, Limits(budget_total=10**10))


class World:
    """A gateway, its clock, and one request that was admitted and then lost."""

    def __init__(self, memory: MemoryGateway, clock: FakeClock) -> None:
        self.memory, self.clock = memory, clock
        self.context = JobContext(memory.gateway, memory.rows, memory.keys, memory.dead_letters)
        self.id = RequestId("")

    async def lose_a_request(self) -> Admission:
        """Its hold lasts a minute."""
        now_ms = self.clock.now_ms()
        self.id = new_request_id(now_ms // 1000 + 60, self.memory.gateway.rng)
        return await self.memory.meter.admit(Ask(self.id, WHO, now_ms, tokens=10, cost_nanousd=2_000_000))

    @property
    def record(self) -> UsageRecord:
        """What there is of the request."""
        return self.memory.rows.records[self.id]

    @property
    def counts(self) -> tuple[int, int]:
        """What the key's row has committed, and how many holds it has."""
        counts = self.memory.rows.standings[f"key:{WHO.key_id}"].counts
        return counts[COMMITTED_TOTAL], counts[IN_FLIGHT]


@pytest.fixture
async def world() -> World:
    """With nothing to do."""
    clock = FakeClock()

    class Nobody:
        def send(self, request: object) -> object:
            raise AssertionError

    nobody = Nobody()
    memory = await memory_gateway(SETTINGS, nobody, clock=clock)  # type: ignore[arg-type]
    return World(memory, clock)


async def test_sweep(world: World) -> None:
    """An expired hold becomes an abandoned record; a second run finds nothing."""
    assert await run_job(job_of("sweep"), world.context) == {"booked as spent": 0}
    await world.lose_a_request()
    assert await run_job(job_of("sweep"), world.context) == {"booked as spent": 0}
    world.clock.advance(60)
    assert await run_job(job_of("sweep"), world.context) == {"booked as spent": 1}
    assert (world.record.abandoned, world.record.cost_nanousd) == (True, 2_000_000)
    assert world.counts == (2_000_000, 0)
    assert await run_job(job_of("sweep"), world.context) == {"booked as spent": 0}


async def test_repair(world: World) -> None:
    """A dead letter becomes the record, before or after its hold was swept; a second run finds nothing."""
    for first in ("repair", "sweep"):
        await world.lose_a_request()
        spent = world.counts[0] - 2_000_000
        await world.memory.dead_letters.put(replace(TEMPLATE, request_id=world.id, cost_nanousd=7))
        world.clock.advance(60)
        for name in (first, "repair", "sweep"):
            await run_job(job_of(name), world.context)
        assert (world.record.abandoned, world.record.cost_nanousd) == (False, 7)
        assert world.counts == (spent + 7, 0)
    assert await run_job(job_of("repair"), world.context) == {"settled": 0, "left": 0}


async def test_repair_while_the_storage_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that is not taken stays, and is told."""

    async def fail(*_arguments: object) -> None:
        raise StorageUnavailable("away")

    await world.memory.dead_letters.put(TEMPLATE)
    with monkeypatch.context() as patch:
        patch.setattr(world.memory.meter, "settle", fail)
        assert await run_job(job_of("repair"), world.context) == {"settled": 0, "left": 1}
    assert await run_job(job_of("repair"), world.context) == {"settled": 1, "left": 0}


async def test_repair_without_letters(world: World) -> None:
    """Where a target keeps no letters that a job could take, there is nothing to do."""
    await world.memory.dead_letters.put(TEMPLATE)
    assert await run_job(job_of("repair"), replace(world.context, letters=None)) == {}


async def test_letters_of_one_run(world: World) -> None:
    """All letters are handed over, whatever becomes of those before."""
    letters = MemoryDeadLetters()
    for number in range(3):
        await letters.put(usage_record(number))
    report = await run_job(job_of("repair"), replace(world.context, letters=letters))
    assert in_words(report) == "3 settled, 0 left"
    assert letters.records == []
