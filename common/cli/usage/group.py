"""`sluice usage` by itself: what was used, in a table."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

import click

from common.adapters.clock import SystemClock
from common.cli import options
from common.cli.duration import Duration
from common.cli.lazy import LazyGroup
from common.cli.output import Piece, minute, show, show_json, table
from common.cli.stores import with_stores
from common.model.money import usd
from common.model.usage import Tokens
from common.model.usage_query import ALL_TIME, GroupBy, Totals, UsageQuery, UsageSum
from common.targets.stores import Place

_DAY: Final = "day"
_DAY_MS: Final = 86_400_000
_GROUPS: Final = {"model": GroupBy.MODEL, "key": GroupBy.KEY, "user": GroupBy.USER}
_CHOICES: Final = (*_GROUPS, _DAY)
_COLUMNS: Final = ("requests", "input", "cached", "output", "cost_usd", "errors", "estimated")


class _UsageGroup(LazyGroup):
    """Lists usage where no command is named."""

    def __init__(self) -> None:
        super().__init__(
            "usage",
            package="common.cli.usage",
            modules=("show", "verify", "repair"),
            help="What was used, and what it cost: since so long, by model, key, user or day.",
        )
        self.invoke_without_command = True
        self.params = list(_listing.params)
        self.callback = _or_command


@click.command("usage")
@click.option(
    "--by", type=click.Choice(_CHOICES), default="model", show_default=True, help="A line for each."
)
@click.option(
    "--since",
    "since_ms",
    type=Duration(),
    metavar="TIME",
    default="7d",
    show_default=True,
    help="How long ago to begin, like 24h; a time in days begins with that day (UTC).",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
@options.place
@options.as_json
def _listing(by: str, since_ms: int, place: Place, *, as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    query = _query(by, since_ms, SystemClock().now_ms())
    sums = with_stores(place, lambda stores: stores.usage.sums(query))
    rows = [(_name(by, each), each.totals) for each in sums]
    if as_json:
        show_json([{by: name, **_members(totals)} for name, totals in rows])
    elif as_csv:
        click.echo(_csv(by, rows), nl=False)
    elif rows:
        show(_listed(by, rows))
    else:
        show([(f"Nothing was used since {minute(query.start_ms)} UTC.\n", "")])


def _or_command(**given: Any) -> None:
    if click.get_current_context().invoked_subcommand is None:
        assert _listing.callback is not None
        _listing.callback(**given)


def _query(by: str, since_ms: int, now_ms: int) -> UsageQuery:
    start_ms = max(0, now_ms - since_ms)
    if by == _DAY or not since_ms % _DAY_MS:
        start_ms -= start_ms % _DAY_MS
    return UsageQuery(
        start_ms=start_ms,
        end_ms=now_ms + 1,
        width_ms=_DAY_MS if by == _DAY else ALL_TIME,
        group_by=frozenset() if by == _DAY else frozenset({_GROUPS[by]}),
    )


def _name(by: str, each: UsageSum) -> str:
    if by == _DAY:
        return minute(each.bucket_ms)[: len("2026-11-25")]
    return next((name for name in each.group if name is not None), "")


def _members(totals: Totals) -> dict[str, Any]:
    """Input is all that was read; `cached` is a part of it, and `cost_usd` an exact decimal."""
    tokens = totals.tokens
    output = tokens.output + tokens.reasoning
    return {
        "requests": totals.requests,
        "input": tokens.total - output,
        "cached": tokens.cache_read,
        "output": output,
        "cost_usd": usd(totals.cost_nanousd),
        "errors": totals.failed,
        "estimated": totals.estimated,
    }


def _csv(by: str, rows: Sequence[tuple[str, Totals]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((by, *_COLUMNS))
    for name, totals in rows:
        # what a spreadsheet would take for a formula: https://owasp.org/www-community/attacks/CSV_Injection
        writer.writerow(
            (f"'{name}" if name[:1] in {"=", "+", "-", "@", "\t", "\r"} else name, *_members(totals).values())
        )
    return text.getvalue()


def _listed(by: str, rows: Sequence[tuple[str, Totals]]) -> list[Piece]:
    total = Totals(
        sum(each.requests for _, each in rows),
        Tokens(*(sum(counts) for counts in zip(*(each.tokens for _, each in rows), strict=True))),
        sum(each.cost_nanousd for _, each in rows),
        sum(each.estimated for _, each in rows),
        sum(each.failed for _, each in rows),
    )
    numbers = [_numbers(each) for each in (*(each for _, each in rows), total)]
    heading = ("REQUESTS", "INPUT", "CACHED", "OUTPUT", "USD", "ERRORS", "ESTIMATED")
    widths = [max(map(len, column)) for column in zip(heading, *numbers, strict=True)]
    names = (by.upper(), *(name or "-" for name, _ in rows), "total")
    lines = [
        (name, *(f"{text:>{width}}" for text, width in zip(line, widths, strict=True)))
        for name, line in zip(names, (heading, *numbers), strict=True)
    ]
    return table(lines, ("cyan", *([""] * len(heading))))


def _numbers(totals: Totals) -> tuple[str, ...]:
    return tuple(
        f"{value:,}" if isinstance(value, int) else str(value) for value in _members(totals).values()
    )


command = _UsageGroup()
