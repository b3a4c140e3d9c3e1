"""`sluice doctor`."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from common.cli import options
from common.cli.configuration import Configuration, load_at
from common.cli.doctor.providers import check_providers
from common.cli.doctor.urls import check_urls
from common.cli.output import Piece, show, show_json
from common.model.errors import StorageUnavailable
from common.providers.examination import Finding, State
from common.settings import FILE_NAME, Settings, SettingsError
from common.settings.references import ENV_PREFIX
from common.targets.examination import Check
from common.targets.local import open_routes
from common.targets.stores import Place
from common.telemetry.text import on_one_line

_ADVICE_ON_READING: Final = (
    "Make it in the stage's region, or let these credentials read it: docs/setup/aws.md."
)
_LONGEST: Final = 500  # characters of a line; a provider may say more
_MARKS: Final = {State.OK: "✓", State.FAILED: "✗", State.UNKNOWN: "?"}
_ASCII_MARKS: Final = {State.OK: "ok", State.FAILED: "!!", State.UNKNOWN: "??"}
_STYLES: Final = {State.OK: "green", State.FAILED: "bold red", State.UNKNOWN: "yellow"}


def _key(_context: click.Context, _parameter: click.Parameter, reference: str | None) -> str | None:
    """What the variable holds: a key on the command line would be seen by others."""
    if reference is None:
        return None
    key = os.environ.get(reference.removeprefix(ENV_PREFIX), "") if reference.startswith(ENV_PREFIX) else ""
    if not (key.isascii() and key.isprintable() and key):
        raise click.BadParameter(f"expected {ENV_PREFIX}NAME, of a variable that is set to an API key")
    return key


@click.command("doctor", help="Check configuration, storage, and each provider with its keys and models.")
@options.config
@options.place
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    help="Also ask what is deployed there for its health: a base URL, or a function's own; may be repeated.",
)
@click.option(
    "--key",
    callback=_key,
    metavar="env:NAME",
    help="The variable with an API key that has `admin`: what is at --url is asked for its breakers, too.",
)
@options.as_json
def command(
    config: Path | None, place: Place, urls: Sequence[str], key: str | None, *, as_json: bool
) -> None:
    """Examine everything, and tell what to do."""
    checks = asyncio.run(_examine(config, place, urls, key))
    ok = all(check.finding.state is not State.FAILED for check in checks)
    if as_json:
        members = [{"check": check.name, **asdict(check.finding)} for check in checks]
        show_json({"ok": ok, "checks": members})
    else:
        show(_report(checks))
    if not ok:
        raise click.exceptions.Exit(1)


async def _examine(config: Path | None, place: Place, urls: Sequence[str], key: str | None) -> list[Check]:
    """In order: what is told first may be why the rest fails."""
    try:
        configured = await load_at(place, config, os.environ)
    except SettingsError as error:
        mistakes = [
            Check("configuration", Finding(State.FAILED, str(each), _advice(each.expected)))
            for each in error.mistakes
        ]
        return [*mistakes, *await place.examine(None), *await check_urls(urls, key)]
    except StorageUnavailable as error:  # who may not even ask for secrets
        return [Check("secrets", Finding(State.FAILED, error.message, "")), *await check_urls(urls, key)]
    configuration, fetched = configured
    secrets = [Check(f"secret {name}", Finding(State.OK, "It can be read.")) for name in fetched.values]
    secrets += [
        Check(f"secret {name}", Finding(State.FAILED, f"It cannot be read: {problem}.", _ADVICE_ON_READING))
        for name, problem in fetched.problems.items()
    ]
    return [
        Check("configuration", Finding(State.OK, _said(configuration))),
        *secrets,
        *await place.examine(configuration.settings),
        *(() if fetched.problems else await _ask_providers(configuration.settings)),
        *await check_urls(urls, key),
    ]


async def _ask_providers(settings: Settings) -> list[Check]:
    async with open_routes(settings) as routes:
        return await check_providers(settings, {name: route.upstream for name, route in routes.items()})


def _said(configuration: Configuration) -> str:
    if configuration.file is None:
        return f"There is no {FILE_NAME}: the embedded model answers."
    return f"{configuration.file} has no mistakes."


def _advice(expected: str) -> str:
    if expected.startswith("expected the variable "):
        return "Set it. What stands in .env is read by `make run` and `make doctor`, not by `sluice` itself."
    return "Mend it: docs/configuration.md says what can stand there."


def _report(checks: Sequence[Check]) -> list[Piece]:
    """A line for each, and one more for what to do."""
    marks, arrow = (_MARKS, "→") if _prints("".join(_MARKS.values()) + "→") else (_ASCII_MARKS, "->")
    width, indent = max(len(check.name) for check in checks), len(marks[State.OK])
    pieces: list[Piece] = []
    for check in checks:
        finding = check.finding
        pieces += [(marks[finding.state], _STYLES[finding.state]), (f" {check.name:{width}}  ", "bold")]
        pieces.append((f"{on_one_line(finding.said, _LONGEST)}\n", ""))
        if finding.advice:
            advice = on_one_line(finding.advice, _LONGEST)
            pieces.append((f"{'':{indent + width + 3}}{arrow} {advice}\n", "cyan"))
    return [*pieces, (f"\n{_verdict(checks)}\n", "bold")]


def _verdict(checks: Sequence[Check]) -> str:
    states = [check.finding.state for check in checks]
    failed, unknown = states.count(State.FAILED), states.count(State.UNKNOWN)
    if not failed + unknown:
        return "All is well."
    told = [f"{failed} failed"] if failed else []
    told += [f"{unknown} could not be made"] if unknown else []
    return f"Of {len(checks)} checks, {' and '.join(told)}."


def _prints(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
