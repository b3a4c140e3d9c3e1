"""`sluice keys list`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from common.cli import options
from common.cli.keys.store import as_members, with_keys
from common.cli.output import Piece, show, show_json, table
from common.model.ids import UserId
from common.model.principal import KeyRecord


@click.command("list", help="List API keys, oldest first. The keys themselves are not stored.")
@click.option("--user", callback=options.printable, help="Only this user's.")
@options.data
@options.as_json
def command(user: str | None, data: Path, *, as_json: bool) -> None:
    """List keys."""
    records = with_keys(data, lambda keys: keys.list(UserId(user) if user is not None else None))
    if as_json:
        show_json([as_members(record) for record in records])
    else:
        show(_listed(records) if records else [("No keys.\n", "")])


def _listed(records: Sequence[KeyRecord]) -> list[Piece]:
    rows = [
        (record.id, record.user, record.name, _permissions(record), _minute(record)) for record in records
    ]
    return table([("ID", "USER", "NAME", "MAY USE", "CREATED (UTC)"), *rows], ("cyan", "", "", "dim", "dim"))


def _permissions(record: KeyRecord) -> str:
    return ", ".join(sorted(record.permissions))


def _minute(record: KeyRecord) -> str:
    return f"{datetime.fromtimestamp(record.created_ms // 1000, UTC):%Y-%m-%d %H:%M}"
