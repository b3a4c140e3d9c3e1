"""`sluice logs`."""

from collections.abc import Sequence
from typing import Any, TextIO

import click

from common.cli import options
from common.cli.output import Piece, show, show_json, table
from common.model.usage import Outcome
from common.telemetry.service_levels import Percentiles, ServiceLevels, service_levels


@click.command(
    "logs",
    help="Sum up a log of JSON lines: availability, errors by outcome, p50 and p95 of the gateway's own time.",
)
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"), default="-")
@options.as_json
def command(file: TextIO, *, as_json: bool) -> None:
    """Sum up FILE, else standard input."""
    levels = service_levels(file)
    if as_json:
        show_json(_members(levels))
    else:
        show(_described(levels))


def _members(levels: ServiceLevels) -> dict[str, Any]:
    gateway_ms, first_byte_ms = levels.gateway_ms, levels.first_byte_ms
    return {
        "requests": levels.requests,
        "first": levels.first,
        "last": levels.last,
        "availability": levels.availability,
        "error_rate": levels.error_rate,
        "outcomes": {each.value: levels.outcomes[each] for each in Outcome},
        "rescued": levels.rescued,
        "gateway_ms": None if gateway_ms is None else gateway_ms._asdict(),
        "first_byte_ms": None if first_byte_ms is None else first_byte_ms._asdict(),
        "unreadable_lines": levels.unreadable,
    }


def _described(levels: ServiceLevels) -> Sequence[Piece]:
    if not levels.requests:
        return [("There is no request below /v1/ in this log.\n", ""), *_unreadable(levels)]
    outcomes = [
        f"{each} {count:,} ({_percent(count / levels.requests)})"
        for each in Outcome
        if (count := levels.outcomes[each])
    ]
    rows = [
        ("Requests", f"{levels.requests:,}, from {levels.first} to {levels.last}"),
        ("Availability", _percent(levels.availability)),
        ("Error rate", _percent(levels.error_rate)),
        ("Outcomes", ", ".join(outcomes)),
        ("Rescued", f"{levels.rescued:,} by another attempt"),
        ("Gateway", _times(levels.gateway_ms)),
        ("First byte", _times(levels.first_byte_ms)),
    ]
    return [*table(rows, ("dim", "")), *_unreadable(levels)]


def _unreadable(levels: ServiceLevels) -> list[Piece]:
    if not levels.unreadable:
        return []
    return [
        (f"{levels.unreadable:,} lines are no entries of the log in JSON, and were left out.\n", "yellow")
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.3f} %"


def _times(found: Percentiles | None) -> str:
    return "-" if found is None else f"p50 {found.p50:,.2f} ms, p95 {found.p95:,.2f} ms"
