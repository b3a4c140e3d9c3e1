"""Serving in this process, from opening the data folder to the last request's record.

Signals: the first SIGINT or SIGTERM lets running requests finish and takes no new ones; the second ends the process
at once. Whatever that leaves undone is found again by its hold.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import click

from common.access.loopback import LoopbackAccess
from common.adapters.upstream.embedded import find_model
from common.cli.log_output import log_to_stderr
from common.cli.new_key import create_key
from common.cli.output import show
from common.cli.welcome import Started, welcome
from common.gateway.gateway import Gateway
from common.gateway.job import Job
from common.http.app import create_app
from common.http.function import Function
from common.model.ids import UserId
from common.model.principal import DEFAULT_PERMISSIONS
from common.ports import KeyStore
from common.settings import ProviderKind, Settings
from common.targets.local import open_local
from common.targets.local_jobs import running_jobs
from common.targets.local_server import LocalServer, reachable

FIRST_USER: Final = UserId("admin")
FIRST_NAME: Final = "first key"
EXAMPLE: Final = Path("sluice.example.toml")
INSECURE: Final = (
    "Warning: authentication is off (--insecure): every program on this machine can spend without limits."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What to serve, and where."""

    settings: Settings
    functions: Sequence[Function]
    complete: bool  # whether these are all there are
    jobs: Sequence[Job]
    host: str
    port: int
    data: Path
    insecure: bool  # without authentication
    create_key: str  # the command, as it would be typed here


def run(serving: Serving) -> None:
    """Serve until a signal comes and running requests are done. `GatewayError` says what keeps it from starting."""
    output = log_to_stderr(serving.settings)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(serving))
    finally:
        output.flush()  # Granian has struck it off the list of those that are flushed at the end
    click.echo("Stopped.", err=True)


async def _serve(serving: Serving) -> None:
    settings = serving.settings
    async with open_local(settings, serving.data) as local:
        if any(provider.kind is ProviderKind.EMBEDDED for provider in settings.providers.values()):
            find_model()
        gateway = without_authentication(local.gateway) if serving.insecure else local.gateway
        if serving.insecure:
            click.echo(INSECURE, err=True)
        app = create_app(gateway, serving.functions)
        server = LocalServer(app, local.background, serving.host, serving.port)

        async def tell() -> None:
            first_key = None if serving.insecure else await _first_key(local.keys)
            show(
                welcome(
                    Started(
                        base_url=base_url(server.host, server.port),
                        settings=settings,
                        functions=[function.name for function in serving.functions],
                        complete=serving.complete,
                        first_key=first_key,
                        insecure=serving.insecure,
                        create_key=serving.create_key,
                        example=EXAMPLE.exists(),
                    )
                )
            )

        _stop_on_signals(server)
        async with running_jobs(serving.jobs, local.jobs, local.gateway.rng):
            await server.serve(tell)


def without_authentication(gateway: Gateway) -> Gateway:
    """The same for everybody who reaches it."""
    access = LoopbackAccess(gateway.authenticator, gateway.settings.server.cors_origins)
    return replace(gateway, authenticator=access)


async def _first_key(keys: KeyStore) -> str | None:
    """A key for whoever starts a gateway that has none."""
    if await keys.list():
        return None
    return (await create_key(keys, FIRST_USER, FIRST_NAME, DEFAULT_PERMISSIONS)).key


def base_url(host: str, port: int) -> str:
    """Where clients on this machine reach the API."""
    address = reachable(host)
    return f"http://[{address}]:{port}/v1" if ":" in address else f"http://{address}:{port}/v1"


def _stop_on_signals(server: LocalServer) -> None:
    stopping = False

    def on_signal(number: int) -> None:
        nonlocal stopping
        if stopping:
            os._exit(128 + number)
        stopping = True
        click.echo(_farewell(server.running), err=True)
        server.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)


def _farewell(running: int) -> str:
    match running:
        case 0:
            return "Stopping."
        case 1:
            return "Stopping when 1 running request is done; Ctrl-C again ends it at once."
        case _:
            return f"Stopping when {running} running requests are done; Ctrl-C again ends them at once."


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop of uvloop where that is installed; None: asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
