"""`sluice jobs run`."""

import asyncio
import os
from pathlib import Path

import click

from common.cli import options
from common.cli.configuration import load_at
from common.cli.output import Failed, show, show_json
from common.gateway.job import Job, JobReport, in_words, run_job
from common.model.errors import SluiceError
from common.settings import SettingsError
from common.targets.registry import JOBS, job_of
from common.targets.stores import Place


@click.command("run", help="Run a job now, whether or not a gateway is running.")
@click.argument("name", type=click.Choice(JOBS))
@options.config
@options.place
@options.as_json
def command(name: str, config: Path | None, place: Place, *, as_json: bool) -> None:
    """Run it once."""
    try:
        report = asyncio.run(_run(job_of(name), config, place))
    except SettingsError as error:
        raise Failed(*map(str, error.mistakes)) from None
    except SluiceError as error:
        raise Failed(error.message) from None
    if as_json:
        show_json(report)
    elif any(report.values()):
        show([(f"{in_words(report)}.\n", "")])
    else:
        show([("There was nothing to do.\n", "")])


async def _run(job: Job, config: Path | None, place: Place) -> JobReport:
    configuration, _ = await load_at(place, config, os.environ)
    async with place.jobs(configuration.settings) as context:
        return await run_job(job, context)
