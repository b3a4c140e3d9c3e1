"""`sluice emulate aws`: the options. `common/targets/aws/emulator/` does it."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from common.cli.output import Failed
from common.settings import FILE_NAME
from common.targets.registry import FUNCTIONS, function_of

MAX_PORT: Final = 65_535
MAX_TIMEOUT_S: Final = 900  # Lambda's


@click.command(
    "aws", help="Function URLs of AWS Lambda: processes that stream, freeze, and serve one request each."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, MAX_PORT),
    default=8788,
    show_default=True,
    metavar="N",
    help="The port; 0 takes a free one.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, MAX_TIMEOUT_S, min_open=True),
    default=MAX_TIMEOUT_S,
    show_default=True,
    metavar="S",
    help="Seconds that one request may take.",
)
def command(host: str, port: int, timeout_s: float) -> None:
    """Emulate until a signal comes."""
    if not Path(FILE_NAME).is_file():
        raise Failed(f"There is no {FILE_NAME} in this folder: a function brings its own.")
    try:
        asyncio.run(_emulate(host, port, timeout_s))
    except OSError as error:
        raise Failed(f"Cannot listen on {host}, port {port} ({error.strerror}): choose another.") from None
    click.echo("Stopped.", err=True)


async def _emulate(host: str, port: int, timeout_s: float) -> None:
    from common.targets.aws.emulator.emulator import EmulatedFunction, emulating, variables_of
    from common.targets.aws.emulator.environment import Platform

    functions = [
        EmulatedFunction(name, f"common.targets.aws.entry.{name}", _serves(name)) for name in FUNCTIONS
    ]
    platform = Platform(
        command=[sys.executable, "-m", "common.targets.aws"],
        folder=Path.cwd(),
        variables=variables_of(os.environ),
        timeout_s=timeout_s,
        tell=lambda line: click.echo(line, err=True),
    )
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with emulating(functions, platform, host=host, port=port) as emulator:
        click.echo(f"Base URL   {emulator.url}/v1")
        await stopped.wait()
        click.echo("Stopping.", err=True)


def _serves(name: str) -> Callable[[str], bool]:
    """Whether a path is one of a function's routes."""
    from fastapi.routing import APIRoute

    patterns = [each.path_regex for each in function_of(name).router.routes if isinstance(each, APIRoute)]
    return lambda path: any(each.match(path) for each in patterns)
