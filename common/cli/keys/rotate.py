"""`sluice keys rotate`."""

import secrets

import click

from common.access.api_key import RANDOM_BYTES, new_key
from common.access.new_key import LONGEST_GRACE_MS, NewKey, rotated
from common.adapters.clock import SystemClock
from common.cli import options
from common.cli.duration import Duration
from common.cli.keys.change import changed
from common.cli.keys.described import as_members, told_once
from common.cli.output import minute, show, show_json
from common.model.principal import KeyRecord
from common.targets.stores import Place


@click.command(
    "rotate",
    help="Replace an API key: print a new one, this once, with the same id, limits and name. The old one stays good for"
    " a while; one that was replaced before does not.",
)
@click.argument("key_id")
@click.option(
    "--grace",
    "grace_ms",
    type=Duration(longest_ms=LONGEST_GRACE_MS),
    metavar="TIME",
    default="24h",
    show_default=True,
    help="How long the old key stays good, like 24h; 0s: not at all.",
)
@options.place
@options.as_json
def command(key_id: str, grace_ms: int, place: Place, *, as_json: bool) -> None:
    """Rotate a key."""
    random_bytes, now_ms = secrets.token_bytes(RANDOM_BYTES), SystemClock().now_ms()

    def rotate(record: KeyRecord) -> KeyRecord:
        return rotated(record, random_bytes, now_ms, grace_ms).record

    record = changed(place, key_id, rotate)
    new = NewKey(record, new_key(random_bytes))
    if as_json:
        show_json({"key": new.key, **as_members(record)})
    else:
        until = record.grace_until_ms
        old = "is not good any more" if until is None else f"is good until {minute(until)} UTC"
        show([*told_once(new), (f"The key before {old}.\n", "")])
