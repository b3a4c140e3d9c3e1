"""`sluice usage verify`."""

from collections.abc import Sequence
from typing import Any

import click

from common.cli import options
from common.cli.output import Failed, Piece, minute, show, show_json, table
from common.cli.stores import with_stores
from common.metering.verify import Money, RowVerdict, Verdict, verify
from common.model.money import usd
from common.targets.stores import Place


@click.command(
    "verify",
    help="Compute again, from the usage records, what the meter must have counted for each key and user that has"
    " limits: money of the day, of the month and in total. Status 1 where that differs.",
)
@options.place
@options.as_json
def command(place: Place, *, as_json: bool) -> None:
    """Hold the meter's rows against the records."""
    verdicts = with_stores(place, lambda stores: verify(stores.rows, stores.usage))
    differing = [each for each in verdicts if each.verdict is Verdict.DIFFERS]
    if as_json:
        show_json([_members(each) for each in verdicts])
    else:
        show(_told(verdicts))
    if differing:
        raise Failed(
            f"{len(differing)} of {len(verdicts)} keys and users with limits differ from their records. Where the"
            " records say more: requests that were let pass while the storage failed, or while limits were taken away,"
            " are in no count. Where they say less: records are missing; `sluice usage repair` settles those that the"
            " database did not take."
        )


def _told(verdicts: Sequence[RowVerdict]) -> list[Piece]:
    if not verdicts:
        return [("Nobody with limits has used anything: there is nothing to verify.\n", "")]
    count = {verdict: sum(each.verdict is verdict for each in verdicts) for verdict in Verdict}
    pieces: list[Piece] = [
        (f"{len(verdicts)} keys and users with limits: {count[Verdict.RIGHT]} right.\n", "")
    ]
    pieces += [
        (f"{each.row}: right {_since(each)}; what it used before is in no count, as it had no limits.\n", "")
        for each in verdicts
        if each.verdict is Verdict.RIGHT_SINCE
    ]
    pieces += [
        (f"{each.row}: not verified, as it is used right now. Try again.\n", "yellow")
        for each in verdicts
        if each.verdict is Verdict.CHANGING
    ]
    if count[Verdict.DIFFERS]:
        pieces += [("\n", ""), *table(_differences(verdicts), ("cyan", "", "", ""))]
    return pieces


def _since(each: RowVerdict) -> str:
    return "so far" if each.since_ms is None else f"since {minute(each.since_ms)} UTC"


def _differences(verdicts: Sequence[RowVerdict]) -> list[tuple[str, str, str, str]]:
    rows = [("ROW", "PERIOD", "COUNTED", "RECORDED")]
    for each in verdicts:
        if each.verdict is Verdict.DIFFERS:
            for period, counted, recorded in zip(Money._fields, each.counted, each.recorded, strict=True):
                if counted != recorded:
                    rows.append((each.row, period, _usd(counted), _usd(recorded)))
    return rows


def _members(each: RowVerdict) -> dict[str, Any]:
    return {
        "row": each.row,
        "verdict": each.verdict,
        "since_ms": each.since_ms,
        "counted_usd": {name: _usd(amount) for name, amount in each.counted._asdict().items()},
        "recorded_usd": {name: _usd(amount) for name, amount in each.recorded._asdict().items()},
    }


def _usd(amount_nanousd: int) -> str:
    """Of an amount that may be below zero where a count is wrong."""
    return f"-{usd(-amount_nanousd)}" if amount_nanousd < 0 else usd(amount_nanousd)
