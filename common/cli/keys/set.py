"""`sluice keys set`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from common.adapters.clock import SystemClock
from common.cli import limits, options
from common.cli.duration import Duration
from common.cli.keys import bounds
from common.cli.keys.change import changed
from common.cli.keys.described import SOON, as_members, described
from common.cli.output import show, show_json
from common.cli.plans import require_plan
from common.model.limits import Limit
from common.model.principal import KeyRecord
from common.settings.tables import UNLIMITED
from common.targets.stores import Place


@click.command(
    "set",
    help="Change an API key; what is not given stays as it is. What may be repeated replaces what there was."
    f" A limit that is given here wins over the plan's; `{UNLIMITED}` lifts the plan's,"
    f" `{limits.PLAN}` lets it hold again.",
)
@click.argument("key_id")
@click.option("--name", callback=options.printable, help="What tells it from the user's others.")
@bounds.permissions
@options.plan
@click.option("--no-plan", is_flag=True, help="Take the plan away.")
@limits.options(UNLIMITED, limits.PLAN)
@bounds.models
@click.option("--all-models", is_flag=True, help="Any model.")
@bounds.origins
@click.option("--any-origin", is_flag=True, help="For requests from anywhere.")
@click.option(
    "--expires",
    "expires_in",
    type=Duration(bounds.NEVER),
    metavar="TIME",
    help=f"When it ends, from now, like 90d; or `{bounds.NEVER}`.",
)
@options.config
@options.place
@options.as_json
def command(
    key_id: str,
    *,
    name: str | None,
    permissions: tuple[str, ...],
    plan: str | None,
    config: Path | None,
    place: Place,
    as_json: bool,
    **given: Any,
) -> None:
    """Change a key."""
    own = {limit.value: given.pop(limit.value) for limit in Limit}
    now_ms = SystemClock().now_ms()
    changes = {
        **({} if name is None else {"name": name}),
        **({"permissions": frozenset(permissions)} if permissions else {}),
        **_either("plan", "--plan", plan, "--no-plan", none=given["no_plan"], empty=""),
        **_either("models", "--models", given["models"], "--all-models", none=given["all_models"]),
        **_either("origins", "--origin", given["origins"], "--any-origin", none=given["any_origin"]),
        **_expiry(given["expires_in"], now_ms),
    }
    if not changes and all(value is None for value in own.values()):
        raise click.UsageError("Nothing to set: `--help` shows what can be.")
    if plan is not None:
        require_plan(plan, config)

    def change(record: KeyRecord) -> KeyRecord:
        return replace(record, overrides=limits.changed(record.overrides, own), **changes)

    record = changed(place, key_id, change)
    if as_json:
        show_json(as_members(record))
    else:
        show([*described(record, now_ms), (SOON, "")])


def _either(
    field: str,
    option: str,
    value: Sequence[str] | None,
    without: str,
    *,
    none: bool,
    empty: Sequence[str] = (),
) -> dict[str, Any]:
    """What `option` gives, or nothing where `without` takes it away; empty where neither is said."""
    if value and none:
        raise click.UsageError(f"{option} and {without} exclude each other.")
    return {field: value or empty} if value or none else {}


def _expiry(given: int | str | None, now_ms: int) -> dict[str, int | None]:
    if given is None:
        return {}
    return {"expires_ms": now_ms + given if isinstance(given, int) else None}
