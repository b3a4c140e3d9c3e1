"""`sluice keys delete`."""

from pathlib import Path

import click

from common.access.authenticate import CACHE_S
from common.cli import options
from common.cli.output import Failed, show, show_json
from common.cli.stores import with_stores
from common.model.ids import KeyId


@click.command("delete", help="Delete an API key, by its id.")
@click.argument("key_id")
@options.data
@options.as_json
def command(key_id: str, data: Path, *, as_json: bool) -> None:
    """Delete a key."""
    if not with_stores(data, lambda stores: stores.keys.delete(KeyId(key_id))):
        raise Failed(f"There is no key {key_id!r}: `sluice keys list` shows those there are.")
    if as_json:
        show_json({"id": key_id, "deleted": True})
    else:
        told = f"Deleted. A gateway that is running may accept the key for up to {CACHE_S:.0f} s more.\n"
        show([(told, "")])
