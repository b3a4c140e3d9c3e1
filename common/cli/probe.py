"""`sluice probe`."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from common.adapters.clock import SystemClock
from common.cli import options
from common.cli.configuration import load_at
from common.cli.output import Failed, Piece, show, show_json, table
from common.gateway.gateway import Route
from common.gateway.probe import Probed, probe
from common.gateway.watch import AT_ONCE
from common.model.errors import SluiceError
from common.model.ids import KeyId, UserId
from common.model.price import PICO_PER_NANO, usd_text
from common.model.principal import Principal
from common.routing.availability import candidates_of
from common.routing.candidates import Candidate
from common.routing.names import Directory
from common.settings import Settings, SettingsError
from common.targets.local import open_routes
from common.targets.stores import Place
from common.telemetry.text import on_one_line

_ANYBODY: Final = Principal(KeyId(""), UserId(""), frozenset())
_HEADINGS: Final = ("PROVIDER", "MODEL", "ANSWER", "MS", "USD")
_STYLES: Final = ("", "cyan", "", "", "")
_LONGEST_CODE: Final = 64
_LONGEST: Final = 300  # characters of a reason; a provider may say more


@click.command(
    "probe", help="Ask each target for one token, and tell who answers, how fast, and what it cost."
)
@click.argument("names", nargs=-1, metavar="[MODEL | PROVIDER/MODEL]...")
@options.config
@options.place
@options.as_json
def command(names: Sequence[str], config: Path | None, place: Place, *, as_json: bool) -> None:
    """Ask them. Status 1 where one does not answer."""
    try:
        each = asyncio.run(_probe(names, config, place))
    except SettingsError as error:
        raise Failed(*map(str, error.mistakes)) from None
    except SluiceError as error:
        raise Failed(error.message) from None
    if as_json:
        show_json([_members(probed) for probed in each])
    else:
        show(_report(each))
    if any(probed.error for probed in each):
        raise click.exceptions.Exit(1)


async def _probe(names: Sequence[str], config: Path | None, place: Place) -> Sequence[Probed]:
    configuration, fetched = await load_at(place, config, os.environ)
    if fetched.problems:
        raise Failed(*(f"{name} cannot be read: {problem}." for name, problem in fetched.problems.items()))
    settings = configuration.settings
    candidates = chosen(settings, names)
    turns, clock = asyncio.Semaphore(AT_ONCE), SystemClock()

    async def one(route: Route, candidate: Candidate) -> Probed:
        async with turns:
            return await probe(route, candidate, clock)

    async with open_routes(settings) as routes:
        return await asyncio.gather(*(one(routes[each.target.provider], each) for each in candidates))


def chosen(settings: Settings, names: Sequence[str]) -> Sequence[Candidate]:
    """Each once: those that a client may ask for by these names, or are written so as targets. `Failed` without any."""
    every = candidates_of(settings)
    if not every and not names:
        raise Failed("No model is configured that could be asked.")
    if not names:
        return every
    directory, found = Directory(settings), {}
    for name in names:
        resolved = directory.find(name, _ANYBODY)
        matching = resolved.candidates if resolved else [each for each in every if each.to == name]
        if not matching:
            raise Failed(f"There is no {name}: `sluice models list` lists models, and where they lead.")
        found.update({candidate.to: candidate for candidate in matching})
    return list(found.values())


def _members(probed: Probed) -> dict[str, Any]:
    target, error = probed.candidate.target, probed.error
    return {
        "provider": target.provider,
        "model": target.model,
        "ok": error is None,
        "code": None if error is None else probed.ended,
        "message": None if error is None else error.message,
        "ms": round(probed.took_s * 1000),
        "cost": None if probed.cost_nanousd is None else _cost(probed.cost_nanousd),
    }


def _cost(nanousd: int) -> dict[str, Any]:
    return {"nanousd": nanousd, "usd": usd_text(nanousd * PICO_PER_NANO)}


def _report(each: Sequence[Probed]) -> list[Piece]:
    rows = [
        (
            probed.candidate.target.provider,
            probed.candidate.target.model,
            on_one_line(probed.ended, _LONGEST_CODE),
            f"{probed.took_s * 1000:,.0f}",
            "?" if probed.cost_nanousd is None else usd_text(probed.cost_nanousd * PICO_PER_NANO),
        )
        for probed in each
    ]
    failed = [probed for probed in each if probed.error is not None]
    pieces = table([_HEADINGS, *rows], _STYLES)
    for probed in failed:
        reason = on_one_line(probed.error.message if probed.error else "", _LONGEST)
        pieces += [(f"\n{probed.candidate.to}", "bold red"), (f": {reason}", "")]
    known = sum(probed.cost_nanousd or 0 for probed in each)
    verdict = (
        f"{len(each) - len(failed)} of {len(each)} answer; {usd_text(known * PICO_PER_NANO)} USD in all."
    )
    return [*pieces, ("\n\n" if failed else "\n", ""), (f"{verdict}\n", "bold")]
