"""`sluice serve`: its options, and what is looked at before anything starts."""

import os
import shlex
import shutil
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import click

from common.cli import options
from common.cli.output import Failed
from common.targets.registry import FUNCTIONS, JOBS, function_of, job_of
from common.targets.stores import DEFAULT_DATA

MAX_PORT: Final = 65_535


@click.command("serve", help="Serve on this machine. Without a configuration, the embedded model answers.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, MAX_PORT),
    default=8787,
    show_default=True,
    metavar="N",
    help="The port; 0 takes a free one.",
)
@options.config
@options.data
@click.option(
    "--function",
    "names",
    type=click.Choice(FUNCTIONS),
    multiple=True,
    help="Serve only this function; may be repeated.",
)
@click.option("--insecure", is_flag=True, help="Ask nobody for a key. On a loopback address only.")
def command(
    host: str, port: int, config: Path | None, data: Path, names: tuple[str, ...], *, insecure: bool
) -> None:
    """Serve."""
    # these import half the gateway: who only asks for help does without
    from common.cli.configuration import load
    from common.cli.serving import Serving, run
    from common.model.errors import GatewayError
    from common.settings import SettingsError

    try:
        settings = load(config, os.environ).settings
    except SettingsError as error:
        raise Failed(*map(str, error.mistakes)) from None
    chosen = [name for name in FUNCTIONS if name in names] or FUNCTIONS
    complete = len(chosen) == len(FUNCTIONS)
    address, port = _usable(host, port)
    if insecure and not ip_address(address.partition("%")[0]).is_loopback:
        raise click.UsageError(
            f"--insecure would let everybody in who reaches {host}: it goes with a loopback address alone,"
            " like --host 127.0.0.1."
        )
    serving = Serving(
        settings=settings,
        functions=[function_of(name) for name in chosen],
        complete=complete,
        # who serves only a part has others beside it: one of them runs the jobs, or `sluice jobs run` does
        jobs=[job_of(name) for name in JOBS] if complete else [],
        host=address,
        port=port,
        data=data,
        insecure=insecure,
        create_key=create_key_command(sys.argv[0], data),
    )
    try:
        run(serving)
    except GatewayError as error:
        raise Failed(error.message) from None


def _usable(host: str, port: int) -> tuple[str, int]:
    """The address to listen on. A server looks again when it takes it, but by then much has been opened."""
    from common.targets.local_server import AddressInUse, free_address

    try:
        return free_address(host, port)
    except AddressInUse:
        other = port + 1 if port < MAX_PORT else port - 1
        problem = (
            f"Port {port} is in use: stop what listens there, or choose another"
            f" with `--port {other}` (`make run PORT={other}`)."
        )
    except OSError as error:
        problem = f"Cannot listen on {host}, port {port} ({error.strerror}): choose another --host or --port."
    except UnicodeError:
        problem = f"Cannot listen on {host}: it is not a host's name. Choose another --host."
    raise Failed(problem)


def create_key_command(program: str, data: Path) -> str:
    """`sluice keys create` as it would be typed here. `program`: how this process was called."""
    found = shutil.which("sluice")
    if found is not None and Path(found).resolve() == Path(program).resolve():
        program = "sluice"
    words = [program, "keys", "create", "--user", "NAME"]
    if data != DEFAULT_DATA:
        words += ["--data", str(data)]
    return shlex.join(words)
