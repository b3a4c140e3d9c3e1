"""`sluice keys disable`."""

from dataclasses import replace

import click

from common.cli import options
from common.cli.keys.change import changed
from common.cli.keys.described import SOON, as_members
from common.cli.output import show, show_json
from common.targets.stores import Place


@click.command("disable", help="Refuse an API key from now on, until it is enabled.")
@click.argument("key_id")
@options.place
@options.as_json
def command(key_id: str, place: Place, *, as_json: bool) -> None:
    """Disable a key."""
    record = changed(place, key_id, lambda known: replace(known, disabled=True))
    if as_json:
        show_json(as_members(record))
    else:
        show([("Disabled.", ""), (SOON, "")])
