"""`sluice keys create`."""

from pathlib import Path

import click

from common.cli import limits, options
from common.cli.keys.members import as_members
from common.cli.new_key import NewKey, create_key
from common.cli.output import Piece, show, show_json, table
from common.cli.plans import require_plan
from common.cli.stores import with_stores
from common.model.ids import UserId
from common.model.principal import DEFAULT_PERMISSIONS, Permission
from common.settings.tables import UNLIMITED


@click.command(
    "create",
    help="Create an API key and print it, this once. A limit that is given here wins over its plan's;"
    f" `{UNLIMITED}` lifts the plan's.",
)
@click.option("--user", required=True, callback=options.printable, help="Whose key it is.")
@click.option("--name", callback=options.printable, help="What tells it from the user's others.")
@click.option(
    "--permission",
    "permissions",
    type=click.Choice([each.value for each in Permission]),
    multiple=True,
    help="What it may do; may be repeated (default: all of these).",
)
@options.plan
@limits.options(UNLIMITED)
@options.config
@options.data
@options.as_json
def command(
    user: str,
    name: str | None,
    permissions: tuple[str, ...],
    *,
    plan: str | None,
    config: Path | None,
    data: Path,
    as_json: bool,
    **given: int | str | None,
) -> None:
    """Create a key."""
    if plan is not None:
        require_plan(plan, config)
    created = with_stores(
        data,
        lambda stores: create_key(
            stores.keys,
            UserId(user),
            name or "",
            frozenset(permissions) or DEFAULT_PERMISSIONS,
            plan=plan or "",
            overrides=limits.changed({}, given),
        ),
        make=True,
    )
    if as_json:
        show_json({"key": created.key, **as_members(created.record)})
    else:
        show(_described(created))


def _described(created: NewKey) -> list[Piece]:
    record = created.record
    facts = [
        ("Id", record.id),
        ("User", record.user),
        *([("Name", record.name)] if record.name else []),
        *([("Plan", record.plan)] if record.plan else []),
        *limits.facts(record.overrides),
        ("May use", ", ".join(sorted(record.permissions))),
    ]
    return [
        (f"{created.key}\n", "bold cyan"),
        ("Keep it now: it is not shown again.\n\n", ""),
        *table(facts, ("dim", "")),
    ]
