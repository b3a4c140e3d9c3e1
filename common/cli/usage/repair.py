"""`sluice usage repair`."""

import asyncio
from pathlib import Path

import click

from common.cli import options
from common.cli.output import Failed, show, show_json
from common.model.errors import StorageUnavailable
from common.targets.local import DEAD_LETTERS, repair_usage


@click.command("repair", help="Settle the usage records that the database did not take when they were made.")
@options.data
@options.as_json
def command(data: Path, *, as_json: bool) -> None:
    """Take the dead letters in again; status 1 while some are left."""
    try:
        settled, left = asyncio.run(repair_usage(data))
    except StorageUnavailable as error:
        raise Failed(error.message) from None
    if as_json:
        show_json({"settled": settled, "left": left})
    elif settled or left:
        show([(f"{settled} records settled, {left} left.\n", "")])
    else:
        show([("There is nothing to repair.\n", "")])
    if left:
        raise Failed(f"{left} records are still in {data / DEAD_LETTERS}: the log above tells why.")
