"""What commands say: text on standard output, failures on standard error."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO, Any, TypeAlias

import click

Piece: TypeAlias = tuple[str, str]
"""Some text, and its style on a terminal in rich's words (https://rich.readthedocs.io/en/stable/style.html)."""


class Failed(click.ClickException):
    """Ends the command with status 1. Each line tells one thing that is wrong, and what to do about it."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self._lines = lines

    def show(self, file: IO[Any] | None = None) -> None:
        """See `click.ClickException`."""
        for line in self._lines:
            click.echo(f"Error: {line}", file=file, err=True)


def show(pieces: Sequence[Piece]) -> None:
    """Print the text as it is: a line is never broken, so that it can be copied. A terminal gets it in colour."""
    if not sys.stdout.isatty():
        click.echo("".join(text for text, _ in pieces), nl=False)
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text.assemble(*pieces), end="", soft_wrap=True)


def show_json(value: Any) -> None:
    """Print one JSON value on one line."""
    click.echo(json.dumps(value))


def minute(at_ms: int) -> str:
    """A time, to the minute, in UTC."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M}"


def table(rows: Sequence[Sequence[str]], styles: Sequence[str]) -> list[Piece]:
    """Rows in columns, two spaces apart. `styles`: of each column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pieces: list[Piece] = []
    for row in rows:
        filled = max((index for index, text in enumerate(row) if text), default=0)
        cells = list(zip(row, widths, styles, strict=True))
        pieces += [(f"{text:{width}}  ", style) for text, width, style in cells[:filled]]
        pieces.append((f"{row[filled]}\n", styles[filled]))
    return pieces
