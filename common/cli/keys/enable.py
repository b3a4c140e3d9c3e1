"""`sluice keys enable`."""

from dataclasses import replace

import click

from common.cli import options
from common.cli.keys.change import changed
from common.cli.keys.described import SOON, as_members
from common.cli.output import show, show_json
from common.targets.stores import Place


@click.command("enable", help="Accept an API key again that was disabled.")
@click.argument("key_id")
@options.place
@options.as_json
def command(key_id: str, place: Place, *, as_json: bool) -> None:
    """Enable a key."""
    record = changed(place, key_id, lambda known: replace(known, disabled=False))
    if as_json:
        show_json(as_members(record))
    else:
        show([("Enabled.", ""), (SOON, "")])
