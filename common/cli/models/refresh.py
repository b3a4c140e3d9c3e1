"""`sluice models refresh`."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from common.cli import options
from common.cli.configuration import catalog_beside, load
from common.cli.output import Failed, Piece, show, show_json
from common.gateway.relay import read_whole
from common.model.errors import SluiceError
from common.ports import Timeouts
from common.providers.examination import MAX_BYTES, models_request
from common.routing.catalog import Change, changes, read_list, rewritten
from common.settings import ProviderKind, Settings, SettingsError, TargetSettings
from common.settings.catalog import Catalog
from common.targets.local import open_routes

_TIMEOUTS: Final = Timeouts(10.0, 30.0, 30.0, 60.0)
_MOST_SHOWN: Final = 60  # changes


@click.command(
    "refresh",
    help="Ask a provider for its models, show what is told of them that was not known, and keep it.",
)
@click.argument("provider", required=False)
@click.option("--yes", is_flag=True, help="Write without asking.")
@options.config
@options.as_json
def command(provider: str | None, config: Path | None, *, yes: bool, as_json: bool) -> None:
    """Refresh the catalog."""
    try:
        settings = load(config, os.environ).settings
    except SettingsError as error:
        raise Failed(*map(str, error.mistakes)) from None
    name = _chosen(settings, provider)
    targets = asyncio.run(_ask(settings, name))
    found = changes(Catalog(settings.catalog), settings.providers[name], targets)
    path = catalog_beside(config)
    if as_json:
        written = yes and bool(found)
    else:
        show(_difference(found, path))
        written = bool(found) and (yes or click.confirm(f"Write it to {path}?"))
    if written:
        text = rewritten(settings.catalog, name, targets, f"{datetime.now(UTC):%Y-%m-%d}")
        Catalog(text)  # what could not be read again is not written
        _write(path, text)
    if as_json:
        show_json({"file": str(path), "written": written, "changes": [asdict(each) for each in found]})


def _chosen(settings: Settings, named: str | None) -> str:
    """The provider; without a name, the only one that there is to ask."""
    others = [each.name for each in settings.providers.values() if each.kind is not ProviderKind.EMBEDDED]
    if named is not None and named not in others:
        raise click.UsageError(
            f"There is no provider {named} to ask; there are: {', '.join(others) or 'none'}."
        )
    if named is None and len(others) != 1:
        raise click.UsageError(f"Name the provider to ask, one of: {', '.join(others) or 'none'}.")
    return named or others[0]


async def _ask(settings: Settings, name: str) -> Sequence[TargetSettings]:
    async with open_routes(settings) as routes:
        route = routes[name]
        request = models_request(route.provider, _TIMEOUTS)
        try:
            async with route.upstream.send(request) as response:
                body = await read_whole(response, MAX_BYTES)
        except SluiceError as error:
            raise Failed(f"{name} did not tell its models: {route.provider.hide(error.message)}") from None
    targets = read_list(name, body) if response.status == 200 else None
    if targets is None:
        raise Failed(f"{name} did not tell its models ({response.status}): `sluice doctor` may know why.")
    if not targets:
        raise Failed(f"{name} tells the names of its models, and nothing else of them.")
    return targets


def _difference(found: Sequence[Change], path: Path) -> list[Piece]:
    if not found:
        return [(f"All of it is known: {path} stays as it is.\n", "")]
    pieces: list[Piece] = []
    for change in found[:_MOST_SHOWN]:
        pieces.append((f"{change.name}\n", "cyan"))
        pieces += [(f"  - {change.before}\n", "red")] if change.before is not None else []
        pieces += [(f"  + {change.after}\n", "green")] if change.after is not None else []
    if len(found) > _MOST_SHOWN:
        pieces.append((f"... and {len(found) - _MOST_SHOWN} more\n", "dim"))
    return pieces


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    except OSError as error:
        raise Failed(f"{path} cannot be written ({error.strerror}).") from None
