"""`sluice keys show`."""

import click

from common.adapters.clock import SystemClock
from common.cli import options
from common.cli.keys.change import unknown
from common.cli.keys.described import as_members, described
from common.cli.output import show, show_json
from common.cli.stores import with_stores
from common.model.ids import KeyId
from common.targets.stores import Place


@click.command("show", help="Show all that is known of an API key. The key itself is not stored.")
@click.argument("key_id")
@options.place
@options.as_json
def command(key_id: str, place: Place, *, as_json: bool) -> None:
    """Show a key."""
    record = with_stores(place, lambda stores: stores.keys.get(KeyId(key_id)))
    if record is None:
        raise unknown(key_id)
    if as_json:
        show_json(as_members(record))
    else:
        show(described(record, SystemClock().now_ms()))
