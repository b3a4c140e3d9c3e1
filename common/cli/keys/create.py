"""`sluice keys create`."""

from pathlib import Path

import click

from common.cli import options
from common.cli.keys.store import as_members, with_keys
from common.cli.new_key import NewKey, create_key
from common.cli.output import Piece, show, show_json, table
from common.model.ids import UserId
from common.model.principal import DEFAULT_PERMISSIONS, Permission


@click.command("create", help="Create an API key and print it, this once.")
@click.option("--user", required=True, callback=options.printable, help="Whose key it is.")
@click.option("--name", callback=options.printable, help="What tells it from the user's others.")
@click.option(
    "--permission",
    "permissions",
    type=click.Choice([each.value for each in Permission]),
    multiple=True,
    help="What it may do; may be repeated (default: all of these).",
)
@options.data
@options.as_json
def command(user: str, name: str | None, permissions: tuple[str, ...], data: Path, *, as_json: bool) -> None:
    """Create a key."""
    granted = frozenset(permissions) or DEFAULT_PERMISSIONS
    created = with_keys(data, lambda keys: create_key(keys, UserId(user), name or "", granted))
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
        ("May use", ", ".join(sorted(record.permissions))),
    ]
    return [
        (f"{created.key}\n", "bold cyan"),
        ("Keep it now: it is not shown again.\n\n", ""),
        *table(facts, ("dim", "")),
    ]
