"""`sluice keys list`."""

from collections.abc import Sequence
from pathlib import Path

import click

from common.cli import limits, options
from common.cli.keys.members import as_members
from common.cli.output import Piece, minute, show, show_json, table
from common.cli.stores import with_stores
from common.model.ids import UserId
from common.model.principal import KeyRecord


@click.command("list", help="List API keys, oldest first. The keys themselves are not stored.")
@click.option("--user", callback=options.printable, help="Only this user's.")
@options.data
@options.as_json
def command(user: str | None, data: Path, *, as_json: bool) -> None:
    """List keys."""
    records = with_stores(data, lambda stores: stores.keys.list(UserId(user) if user is not None else None))
    if as_json:
        show_json([as_members(record) for record in records])
    else:
        show(_listed(records) if records else [("No keys.\n", "")])


def _listed(records: Sequence[KeyRecord]) -> list[Piece]:
    headings, cells = limits.columns([record.overrides for record in records])
    rows = [
        (
            record.id,
            record.user,
            record.name,
            record.plan,
            *own,
            _permissions(record),
            minute(record.created_ms),
        )
        for record, own in zip(records, cells, strict=True)
    ]
    head = ("ID", "USER", "NAME", "PLAN", *headings, "MAY USE", "CREATED (UTC)")
    return table([head, *rows], ("cyan", "", "", "", *([""] * len(headings)), "dim", "dim"))


def _permissions(record: KeyRecord) -> str:
    return ", ".join(sorted(record.permissions))
