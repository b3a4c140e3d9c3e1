"""`sluice keys create`."""

from pathlib import Path

import click

from common.cli import limits, options
from common.cli.duration import Duration
from common.cli.keys import bounds
from common.cli.keys.described import as_members, facts, told_once
from common.cli.new_key import create_key
from common.cli.output import show, show_json, table
from common.cli.plans import require_plan
from common.cli.stores import with_stores
from common.model.ids import UserId
from common.model.principal import DEFAULT_PERMISSIONS
from common.settings.tables import UNLIMITED
from common.targets.stores import Place


@click.command(
    "create",
    help="Create an API key and print it, this once. A limit that is given here wins over its plan's;"
    f" `{UNLIMITED}` lifts the plan's. Without --permission it may use chat, models and its own usage.",
)
@click.option("--user", required=True, callback=options.printable, help="Whose key it is.")
@click.option("--name", callback=options.printable, help="What tells it from the user's others.")
@bounds.permissions
@options.plan
@limits.options(UNLIMITED)
@bounds.models
@bounds.origins
@click.option(
    "--expires",
    "expires_in",
    type=Duration(),
    metavar="TIME",
    help="When it ends, from now, like 90d (default: never).",
)
@options.config
@options.place
@options.as_json
def command(
    user: str,
    name: str | None,
    permissions: tuple[str, ...],
    models: tuple[str, ...],
    origins: tuple[str, ...],
    *,
    expires_in: int | None,
    plan: str | None,
    config: Path | None,
    place: Place,
    as_json: bool,
    **given: int | str | None,
) -> None:
    """Create a key."""
    if plan is not None:
        require_plan(plan, config)
    created = with_stores(
        place,
        lambda stores: create_key(
            stores.keys,
            UserId(user),
            name or "",
            frozenset(permissions) or DEFAULT_PERMISSIONS,
            plan=plan or "",
            overrides=limits.changed({}, given),
            models=models,
            origins=origins,
            expires_in_ms=expires_in,
        ),
        make=True,
    )
    if as_json:
        show_json({"key": created.key, **as_members(created.record)})
    else:
        show([*told_once(created), *table(facts(created.record), ("dim", ""))])
