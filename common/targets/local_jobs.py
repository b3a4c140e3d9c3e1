"""Scheduled jobs on one machine: a task for each, beside the server."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from common.gateway.job import Job, JobContext, run_job

FIRST_WITHIN_S: Final = 2.0  # of the start: what the last process has left is taken care of
JITTER: Final = 0.1  # of `every`: processes that were started together do not stay together
STOP_S: Final = 5.0  # for a run that is cancelled; what it leaves is there for the next one

_log = logging.getLogger("sluice.jobs")


@asynccontextmanager
async def running_jobs(jobs: Sequence[Job], context: JobContext, rng: random.Random) -> AsyncIterator[None]:
    """Run each job now and then, as long as the block is not left; one that runs is cancelled then."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_repeat(job, context, rng)) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)


async def _repeat(job: Job, context: JobContext, rng: random.Random) -> None:
    """One run after the other, for ever."""
    await asyncio.sleep(rng.uniform(0, FIRST_WITHIN_S))
    while True:
        try:
            await run_job(job, context)
        except Exception:
            _log.exception("job %s failed; it is tried again in %s", job.name, job.every)
        await asyncio.sleep(_pause_s(job.every, rng))


def _pause_s(every: timedelta, rng: random.Random) -> float:
    return every.total_seconds() * rng.uniform(1 - JITTER, 1 + JITTER)
