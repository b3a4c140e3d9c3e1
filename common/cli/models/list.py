"""`sluice models list`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from common.cli import options
from common.cli.configuration import load
from common.cli.output import Failed, show, show_json, table
from common.model.ids import KeyId, UserId
from common.model.price import usd_per_million_text
from common.model.principal import Principal
from common.routing.names import Directory, Resolved
from common.settings import ModelSettings, Settings, SettingsError, TargetSettings
from common.settings.models import STAR

_ANYBODY: Final = Principal(KeyId(""), UserId(""), frozenset())
_HEADINGS: Final = ("NAME", "TIER", "TO", "USD PER MILLION", "CONTEXT", "OUTPUT", "TAKES", "LACKS")
_STYLES: Final = ("cyan", "", "", "", "", "", "", "dim")


@click.command("list", help="List the names that can be asked for, and what is known of where they lead.")
@options.config
@options.as_json
def command(config: Path | None, *, as_json: bool) -> None:
    """List them."""
    try:
        settings = load(config, os.environ).settings
    except SettingsError as error:
        raise Failed(*map(str, error.mistakes)) from None
    directory = Directory(settings)
    resolved = [directory.resolve(name, _ANYBODY) for name in directory.names(_ANYBODY)]
    starred = [model for name, model in settings.models.items() if STAR in name]
    if as_json:
        show_json([*map(_members, resolved), *map(_starred_members, starred)])
        return
    show(table([_HEADINGS, *_rows(settings, resolved, starred)], _STYLES))


def _rows(
    settings: Settings, resolved: Sequence[Resolved], starred: Sequence[ModelSettings]
) -> list[tuple[str, ...]]:
    """A row for each target of a model, and one for each name that stands for others."""
    rows: list[tuple[str, ...]] = []
    for each in resolved:
        if each.name not in settings.models:
            rows.append((each.name, "", _stands_for(each), "", "", "", "", ""))
        else:
            model = settings.models[each.name]
            rows += [_row(model, target, first=index == 0) for index, target in enumerate(model.targets)]
    for model in starred:
        rows += [_row(model, target, first=index == 0) for index, target in enumerate(model.targets)]
    return rows


def _stands_for(resolved: Resolved) -> str:
    return ", ".join(dict.fromkeys(candidate.name for candidate in resolved.candidates))


def _row(model: ModelSettings, target: TargetSettings, *, first: bool) -> tuple[str, ...]:
    prices = target.prices
    price = (
        f"{usd_per_million_text(prices.input)} / {usd_per_million_text(prices.output)}"
        if prices
        else "no price"
    )
    return (
        model.name if first else "",
        (model.tier or "") if first else "",
        f"{target.provider}/{target.model}",
        "" if STAR in model.name and prices is None else price,
        f"{target.context_length:,}" if target.context_length else "",
        f"{target.max_output_tokens:,}" if target.max_output_tokens else "",
        ", ".join(target.modalities or ()),
        ", ".join(sorted(target.unsupported or ())),
    )


def _members(resolved: Resolved) -> dict[str, Any]:
    return {
        "name": resolved.name,
        "policy": resolved.policy,
        "targets": [
            {"model": candidate.name, **_target_members(candidate.target)}
            for candidate in resolved.candidates
        ],
    }


def _starred_members(model: ModelSettings) -> dict[str, Any]:
    targets = [{"model": model.name, **_target_members(target)} for target in model.targets]
    return {"name": model.name, "policy": model.policy, "targets": targets}


def _target_members(target: TargetSettings) -> dict[str, Any]:
    prices = target.prices
    return {
        "to": f"{target.provider}/{target.model}",
        "input": None if prices is None else usd_per_million_text(prices.input),
        "output": None if prices is None else usd_per_million_text(prices.output),
        "context_length": target.context_length,
        "max_output_tokens": target.max_output_tokens,
        "modalities": None if target.modalities is None else list(target.modalities),
        "unsupported": None if target.unsupported is None else sorted(target.unsupported),
    }
