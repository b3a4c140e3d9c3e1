"""`sluice keys delete`."""

import click

from common.access.authenticate import CACHE_S
from common.cli import options
from common.cli.keys.change import unknown
from common.cli.output import show, show_json
from common.cli.stores import with_stores
from common.model.ids import KeyId
from common.targets.stores import Place


@click.command("delete", help="Delete an API key, by its id.")
@click.argument("key_id")
@options.place
@options.as_json
def command(key_id: str, place: Place, *, as_json: bool) -> None:
    """Delete a key."""
    if not with_stores(place, lambda stores: stores.keys.delete(KeyId(key_id))):
        raise unknown(key_id)
    if as_json:
        show_json({"id": key_id, "deleted": True})
    else:
        told = f"Deleted. A gateway that is running may accept the key for up to {CACHE_S:.0f} s more.\n"
        show([(told, "")])
