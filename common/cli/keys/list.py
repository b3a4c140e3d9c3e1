"""`sluice keys list`."""

from collections.abc import Sequence

import click

from common.adapters.clock import SystemClock
from common.cli import limits, options
from common.cli.keys.described import as_members, last_use, state
from common.cli.output import Piece, minute, show, show_json, table
from common.cli.stores import with_stores
from common.model.ids import UserId
from common.model.principal import KeyRecord
from common.targets.stores import Place


@click.command("list", help="List API keys, oldest first. The keys themselves are not stored.")
@click.option("--user", callback=options.printable, help="Only this user's.")
@options.place
@options.as_json
def command(user: str | None, place: Place, *, as_json: bool) -> None:
    """List keys."""
    records = with_stores(place, lambda stores: stores.keys.list(UserId(user) if user is not None else None))
    if as_json:
        show_json([as_members(record) for record in records])
    else:
        show(_listed(records, SystemClock().now_ms()) if records else [("No keys.\n", "")])


def _listed(records: Sequence[KeyRecord], now_ms: int) -> list[Piece]:
    headings, cells = limits.columns([record.overrides for record in records])
    rows = [
        (
            record.id,
            record.user,
            record.name,
            record.plan,
            *own,
            ", ".join(record.models) or "all",
            ", ".join(sorted(record.permissions)),
            state(record, now_ms),
            minute(record.created_ms),
            last_use(record).removesuffix(" UTC"),
        )
        for record, own in zip(records, cells, strict=True)
    ]
    head = (
        "ID",
        "USER",
        "NAME",
        "PLAN",
        *headings,
        "MODELS",
        "MAY USE",
        "STATE",
        "CREATED (UTC)",
        "USED (UTC)",
    )
    return table([head, *rows], ("cyan", "", "", "", *([""] * len(headings)), "", "dim", "", "dim", "dim"))
