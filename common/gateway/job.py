"""Scheduled jobs: what a module in `functions/` exports as `job`, and the one way to run it, wherever it is triggered.

A target triggers a job by its name, and every trigger comes to `run_job`. On one machine that is a task for each job
(`targets/local_jobs.py`), and by hand `sluice jobs run NAME`. On a platform it is a few lines of the target's root:

    async def on_schedule(event, context):           # AWS: an EventBridge rule for each job, its name as the input
        await run_job(job_of(event["job"]), opened)

    async def scheduled(self, event, env, ctx):      # Workers: a cron trigger for each job, told by its expression
        await run_job(job_of(BY_CRON[event.cron]), opened)

Triggers come late, twice, or several at a time, from several processes, and a run may end in its middle. So a job does
only what may be done again, and alongside itself.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from common.gateway.gateway import Gateway
from common.metering.rows import Rows
from common.ports import KeyStore, LetterBox

_log = logging.getLogger("sluice.jobs")


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a target hands in with each run: the gateway, and what jobs use of the stores besides."""

    gateway: Gateway
    rows: Rows
    keys: KeyStore
    letters: LetterBox | None = None  # None: the target lays them down where no job can take them


JobReport: TypeAlias = Mapping[str, int]
"""What a run did: how many, by what became of them, in the words of the log. All zero: there was nothing to do."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work that is done now and then. Targets read it; it knows nothing of them."""

    name: str  # as in `sluice jobs run`, and in the names of deployed triggers
    every: timedelta
    run: Callable[[JobContext], Awaitable[JobReport]]
    needs: tuple[type, ...]  # the ports that it uses; grants and bindings are held against it


async def run_job(job: Job, context: JobContext) -> JobReport:
    """One run, with a line of log where it did something. Raises what keeps it from its work."""
    report = await job.run(context)
    if any(report.values()):
        _log.info("job %s: %s", job.name, in_words(report))
    return report


def in_words(report: JobReport) -> str:
    """`2 settled, 1 left`."""
    return ", ".join(f"{count} {what}" for what, count in report.items())
