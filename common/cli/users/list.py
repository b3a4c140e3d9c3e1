"""`sluice users list`."""

from collections.abc import Sequence

import click

from common.cli import limits, options
from common.cli.output import Piece, minute, show, show_json, table
from common.cli.stores import with_stores
from common.cli.users.described import as_members
from common.model.principal import UserRecord
from common.targets.stores import Place


@click.command("list", help="List the users that have been given a plan or limits.")
@options.place
@options.as_json
def command(place: Place, *, as_json: bool) -> None:
    """List users."""
    records = with_stores(place, lambda stores: stores.users.list())
    if as_json:
        show_json([as_members(record) for record in records])
    else:
        show(_listed(records) if records else [("No user has a plan or limits.\n", "")])


def _listed(records: Sequence[UserRecord]) -> list[Piece]:
    headings, cells = limits.columns([record.overrides for record in records])
    rows = [
        (record.id, record.plan, *own, minute(record.created_ms))
        for record, own in zip(records, cells, strict=True)
    ]
    head = ("USER", "PLAN", *headings, "SINCE (UTC)")
    return table([head, *rows], ("cyan", "", *([""] * len(headings)), "dim"))
