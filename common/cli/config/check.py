"""`sluice config check`."""

import os
from collections.abc import Collection, Iterator
from dataclasses import asdict, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click

from common.cli import limits, options
from common.cli.configuration import Configuration, load
from common.cli.output import Failed, Piece, show, show_json, table
from common.model.limits import Limit
from common.model.price import FREE, Prices
from common.model.principal import Overrides
from common.settings import (
    FILE_NAME,
    OnStorageFailure,
    PlanSettings,
    ProviderSettings,
    Settings,
    SettingsError,
    TargetSettings,
)
from common.settings.tables import PriceTable

_NONE: Final[list[Piece]] = [("none\n", "dim")]
_CLASSES: Final = [each.name for each in fields(PriceTable)]
_PER: Final = {"request": "per request"}
_PICO_DIGITS: Final = 12
_PER_MILLION_DIGITS: Final = 6  # pico-dollars per token in one USD per million of them


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
        each.name: {"kind": each.kind, "base_url": each.base_url, "api_keys": len(each.api_keys)}
        for each in settings.providers.values()
    }
    models = {
        model.name: {
            "tier": model.tier,
            "modalities": list(model.targets[0].modalities or ()),
            "targets": [_target_members(target) for target in model.targets],
        }
        for model in settings.models.values()
    }
    plans = {
        plan.name: {
            "limits": limits.as_members(_all(plan)),
            "observed": [limit for limit in Limit if limit in plan.limits.observed],
            "alerts": list(plan.limits.alerts),
            "on_storage_failure": plan.on_storage_failure,
            "max_output_tokens": plan.max_output_tokens,
        }
        for plan in settings.plans.values()
    }
    return {
        "ok": True,
        "file": configuration.file,
        "providers": providers,
        "models": models,
        "plans": plans,
    }


def _target_members(target: TargetSettings) -> dict[str, Any]:
    return {
        "to": _to(target),
        "price": None if target.prices is None else _prices(target.prices),
        "context_length": target.context_length,
        "max_output_tokens": target.max_output_tokens,
    }


def _summary(configuration: Configuration) -> list[Piece]:
    settings = configuration.settings
    found = f"{configuration.file}: no mistakes.\n"
    pieces = [
        (found if configuration.file else f"There is no {FILE_NAME}: the embedded model answers.\n", "")
    ]
    providers = [
        (each.name, f"{each.kind}", each.base_url or "", _keys(each)) for each in settings.providers.values()
    ]
    models = list(_models(settings))
    pieces += [("\nProviders\n", "bold"), *(table(providers, ("cyan", "", "", "dim")) or _NONE)]
    pieces += [("\nModels", "bold"), (", at USD per million tokens\n" if models else "\n", "dim")]
    pieces += table(models, ("cyan", "", "", "dim")) or _NONE
    pieces += [("\nPlans\n", "bold"), *(_plans(settings.plans.values()) or _NONE)]
    return pieces


def _models(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    """A row for each target, the model's name in its first."""
    for model in settings.models.values():
        for index, target in enumerate(model.targets):
            yield "" if index else model.name, _to(target), _price(target.prices), _sizes(target)


def _plans(plans: Collection[PlanSettings]) -> list[Piece]:
    """A column for each limit that one of them has."""
    if not plans:
        return []
    used = {limit for plan in plans for limit, value in _all(plan).items() if value is not None}
    rows = [{limit: value for limit, value in _all(plan).items() if limit in used} for plan in plans]
    headings, cells = limits.columns(rows)
    for plan, row in zip(plans, cells, strict=True):
        for index, limit in enumerate(limit for limit in Limit if limit in used):
            row[index] += " (observed)" if limit in plan.limits.observed else ""
    if any(plan.limits.alerts for plan in plans):
        headings.append("ALERTS")
        for plan, row in zip(plans, cells, strict=True):
            row.append(", ".join(f"{percent} %" for percent in plan.limits.alerts))
    if any(plan.on_storage_failure is OnStorageFailure.ALLOW for plan in plans):
        headings.append("ON STORAGE FAILURE")
        for plan, row in zip(plans, cells, strict=True):
            row.append(plan.on_storage_failure)
    if any(plan.max_output_tokens for plan in plans):
        headings.append("MAX OUTPUT")
        for plan, row in zip(plans, cells, strict=True):
            row.append(f"{plan.max_output_tokens:,}" if plan.max_output_tokens else "")
    named = [(plan.name, *row) for plan, row in zip(plans, cells, strict=True)]
    return table([("NAME", *headings), *named], ("cyan", *([""] * len(headings))))


def _all(plan: PlanSettings) -> Overrides:
    return {limit: getattr(plan.limits, limit) for limit in Limit}


def _to(target: TargetSettings) -> str:
    return f"{target.provider}/{target.model}"


def _price(prices: Prices | None) -> str:
    if prices is None:
        return "no price"
    if prices == FREE:
        return "free"
    return ", ".join(f"{_PER.get(name, name)} {price}" for name, price in _prices(prices).items())


def _prices(prices: Prices) -> dict[str, str]:
    """As in the configuration: USD per million tokens of a class, and per request; exact."""
    told = {name: getattr(prices, name) for name in _CLASSES}
    return {
        name: _decimal(price, _PICO_DIGITS if name == "request" else _PER_MILLION_DIGITS)
        for name, price in told.items()
        if price is not None and (price or name != "request")
    }


def _decimal(amount: int, digits: int) -> str:
    return f"{Decimal(amount).scaleb(-digits).normalize():f}"


def _sizes(target: TargetSettings) -> str:
    context, output = target.context_length, target.max_output_tokens
    told = [f"context {context:,}"] if context else []
    return ", ".join([*told, f"output {output:,}"] if output else told)


def _keys(provider: ProviderSettings) -> str:
    match len(provider.api_keys):
        case 0:
            return ""
        case 1:
            return "1 API key"
        case many:
            return f"{many} API keys"
