"""The scheduler of one machine, on a clock that passes by itself: when jobs run, and what becomes of them."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from common.gateway.job import Job, JobContext, JobReport
from common.targets.local_jobs import FIRST_WITHIN_S, JITTER, STOP_S, running_jobs
from tests.simulation.loop import virtual_loop

EVERY_S: Final = 600.0
DAY_S: Final = 86_400.0
CONTEXT: Final[Any] = object()
NOTHING: Final[JobReport] = {"done": 0}

Act = Callable[[], Awaitable[JobReport]]


def job(act: Act, name: str = "tidy") -> Job:
    """A job that runs `act`, with what every job is handed."""

    async def run(context: JobContext) -> JobReport:
        assert context is CONTEXT
        return await act()

    return Job(name, timedelta(seconds=EVERY_S), run, needs=())


def for_a_time(seconds: float, *jobs: Job, seed: int = 1) -> float:
    """Let the jobs run for so long; how long it took to stop them."""

    async def live() -> float:
        loop = asyncio.get_running_loop()
        async with running_jobs(jobs, CONTEXT, random.Random(seed)):
            await asyncio.sleep(seconds)
            left = loop.time()
        return loop.time() - left

    loop = virtual_loop(random.Random(seed))
    try:
        return loop.run(live())
    finally:
        loop.close()


class Times:
    """When it was run, and for how long."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.takes_s = takes_s

    async def __call__(self) -> JobReport:
        """See `Job.run`."""
        loop = asyncio.get_running_loop()
        self.begun.append(loop.time())
        await asyncio.sleep(self.takes_s)
        self.ended.append(loop.time())
        return NOTHING


def test_when() -> None:
    """The first run comes shortly after the start; then one follows the other after `every`, give or take a tenth."""
    times = Times()
    for_a_time(DAY_S, job(times))
    assert times.begun[0] <= FIRST_WITHIN_S
    pauses = [after - before for before, after in zip(times.begun, times.begun[1:], strict=False)]
    assert DAY_S / EVERY_S * 0.95 < len(times.begun) < DAY_S / EVERY_S * 1.05
    assert min(pauses) >= EVERY_S * (1 - JITTER)
    assert max(pauses) <= EVERY_S * (1 + JITTER)
    assert len(set(pauses)) > 100


def test_instances_do_not_stay_together() -> None:
    """Two processes that are started at once run their jobs at different times."""
    one, other = Times(), Times()
    for_a_time(EVERY_S * 10, job(one), seed=1)
    for_a_time(EVERY_S * 10, job(other), seed=2)
    assert not set(one.begun) & set(other.begun)


def test_never_two_runs_of_one() -> None:
    """A run that takes longer than `every` is waited for, and meanwhile the other jobs run."""
    slow, quick = Times(takes_s=EVERY_S * 5), Times()
    for_a_time(DAY_S, job(slow), job(quick))
    assert all(end <= begin for end, begin in zip(slow.ended, slow.begun[1:], strict=False))
    assert len(slow.begun) == pytest.approx(DAY_S / EVERY_S / 6, abs=2)
    assert len(quick.begun) == pytest.approx(DAY_S / EVERY_S, rel=0.05)


def test_failures(caplog: pytest.LogCaptureFixture) -> None:
    """A job that fails is logged, once for each run and by its name, and runs again; the others do not notice."""
    runs, times = 0, Times()

    async def fail() -> JobReport:
        nonlocal runs
        runs += 1
        raise ValueError("broken")

    for_a_time(EVERY_S * 10, job(fail, "breaks"), job(times))
    assert len(times.begun) >= 9
    assert runs >= 9
    assert len(caplog.records) == runs
    assert all("job breaks failed" in record.getMessage() and record.exc_info for record in caplog.records)


def test_a_line_for_what_was_done(caplog: pytest.LogCaptureFixture) -> None:
    """A run that did something is a line of the log; one that had nothing to do is none."""
    reports: list[JobReport] = [{"settled": 2, "left": 0}, NOTHING, {"settled": 0, "left": 1}]

    async def act() -> JobReport:
        return reports.pop(0) if reports else NOTHING

    caplog.set_level(logging.INFO, "sluice.jobs")
    for_a_time(EVERY_S * 10, job(act))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "job tidy: 2 settled, 0 left"),
        ("INFO", "job tidy: 0 settled, 1 left"),
    ]


def test_stop() -> None:
    """Who stops waits for nothing: a run that goes on is cancelled, and may clean up."""
    cleaned = []

    async def endless() -> JobReport:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0.5)
            cleaned.append(True)
        return NOTHING

    assert for_a_time(EVERY_S, job(endless)) == pytest.approx(0.5)
    assert cleaned == [True]
    assert for_a_time(EVERY_S) == 0


def test_stop_of_a_stubborn_job() -> None:
    """A run that does not let itself be cancelled holds nobody up for longer than there is time."""

    async def stubborn() -> JobReport:
        while True:
            try:
                await asyncio.sleep(DAY_S)
            except asyncio.CancelledError:
                continue

    assert for_a_time(EVERY_S, job(stubborn)) == pytest.approx(STOP_S)
