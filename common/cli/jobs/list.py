"""`sluice jobs list`."""

import click

from common.cli import options
from common.cli.output import show, show_json, table
from common.targets.registry import JOBS, job_of


@click.command("list", help="List the jobs that a running gateway does now and then.")
@options.as_json
def command(*, as_json: bool) -> None:
    """List them."""
    jobs = [job_of(name) for name in JOBS]
    if as_json:
        show_json([{"name": job.name, "every_s": int(job.every.total_seconds())} for job in jobs])
    else:
        show(table([("NAME", "EVERY"), *((job.name, str(job.every)) for job in jobs)], ("cyan", "")))
