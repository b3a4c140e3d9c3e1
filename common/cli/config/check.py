"""`sluice config check`."""

import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from common.cli import options
from common.cli.configuration import Configuration, load
from common.cli.output import Failed, Piece, show, show_json, table
from common.settings import FILE_NAME, ModelSettings, ProviderSettings, SettingsError


@click.command("check", help="Tell every mistake in the configuration, or what is configured.")
@options.config
@options.as_json
def command(config: Path | None, *, as_json: bool) -> None:
    """Check the configuration."""
    try:
        configuration = load(config, os.environ)
    except SettingsError as error:
        if as_json:
            show_json({"ok": False, "mistakes": [asdict(mistake) for mistake in error.mistakes]})
            raise click.exceptions.Exit(1) from None
        raise Failed(*map(str, error.mistakes)) from None
    if as_json:
        show_json(_members(configuration))
    else:
        show(_summary(configuration))


def _members(configuration: Configuration) -> dict[str, Any]:
    settings = configuration.settings
    providers = {
        provider.name: {
            "kind": provider.kind,
            "base_url": _public_url(provider),
            "api_keys": len(provider.api_keys),
        }
        for provider in settings.providers.values()
    }
    models = {model.name: {"targets": _targets(model)} for model in settings.models.values()}
    return {"ok": True, "file": configuration.file, "providers": providers, "models": models}


def _summary(configuration: Configuration) -> list[Piece]:
    settings = configuration.settings
    found = f"{configuration.file}: no mistakes.\n"
    pieces = [
        (found if configuration.file else f"There is no {FILE_NAME}: the embedded model answers.\n", "")
    ]
    providers = [
        (each.name, f"{each.kind}", _public_url(each) or "", _keys(each))
        for each in settings.providers.values()
    ]
    models = [(model.name, ", ".join(_targets(model))) for model in settings.models.values()]
    pieces += [("\nProviders\n", "bold"), *(table(providers, ("cyan", "", "", "dim")) or _NONE)]
    pieces += [("\nModels\n", "bold"), *(table(models, ("cyan", "")) or _NONE)]
    return pieces


_NONE: list[Piece] = [("none\n", "dim")]


def _targets(model: ModelSettings) -> list[str]:
    return [f"{target.provider}/{target.model}" for target in model.targets]


def _keys(provider: ProviderSettings) -> str:
    match len(provider.api_keys):
        case 0:
            return ""
        case 1:
            return "1 API key"
        case many:
            return f"{many} API keys"


def _public_url(provider: ProviderSettings) -> str | None:
    """The address without a name and password in it."""
    return provider.base_url and re.sub("//[^/]*@", "//", provider.base_url)
