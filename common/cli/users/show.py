"""`sluice users show`."""

import click

from common.cli import options
from common.cli.output import Failed, show, show_json
from common.cli.stores import with_stores
from common.cli.users.described import as_members, described
from common.model.ids import UserId
from common.targets.stores import Place


@click.command("show", help="Show a user's plan and limits.")
@click.argument("user")
@options.place
@options.as_json
def command(user: str, place: Place, *, as_json: bool) -> None:
    """Show a user."""
    record = with_stores(place, lambda stores: stores.users.find(UserId(user)))
    if record is None:
        raise Failed(f"The user {user!r} has been given no plan and no limits: `sluice users set` does that.")
    if as_json:
        show_json(as_members(record))
    else:
        show(described(record))
