"""Options on what a key may do, from where, and how long."""

import re
from typing import Any, Final

import click
from pydantic import TypeAdapter, ValidationError

from common.model.principal import Permission
from common.settings.values import Origin

NEVER: Final = "never"
_LONGEST_GLOB: Final = 256
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONGEST_MS: Final = 100 * 365 * _UNIT_MS["d"]


class Duration(click.ParamType[int | str]):
    """A time like `90d` or `24h`, in milliseconds, or one of `words`."""

    name = "duration"

    def __init__(self, *words: str, longest_ms: int = _LONGEST_MS) -> None:
        self._words = words
        self._longest_ms = longest_ms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """See `click.ParamType`."""
        if not isinstance(value, str) or value in self._words:
            return value  # type: ignore[no-any-return] # what has been converted already
        found = _DURATION.fullmatch(value)
        duration_ms = int(found[1]) * _UNIT_MS[found[2]] if found else -1
        if not 0 <= duration_ms <= self._longest_ms:
            words = "".join(f", or `{word}`" for word in self._words)
            days = self._longest_ms // _UNIT_MS["d"]
            self.fail(f"{value!r}: expected a time like 90d, 24h or 30m, up to {days}d{words}", param, ctx)
        return duration_ms


def _globs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not (value.strip() and value.isprintable() and len(value) <= _LONGEST_GLOB):
            raise click.BadParameter(f"expected 1 to {_LONGEST_GLOB} printable characters")
    return values


def _origins(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    for value in values:
        try:
            TypeAdapter(Origin).validate_python(value)
        except ValidationError:
            expected = "expected one like https://app.example.com, in lower case and without a path"
            raise click.BadParameter(f"{value!r}: {expected}") from None
    return values


models = click.option(
    "--models",
    metavar="GLOB",
    multiple=True,
    callback=_globs,
    help="Only models whose names are like this, for example 'gpt-*'; may be repeated.",
)
permissions = click.option(
    "--permission",
    "permissions",
    type=click.Choice([each.value for each in Permission]),
    multiple=True,
    help="What it may do; may be repeated.",
)
origins = click.option(
    "--origin",
    "origins",
    metavar="URL",
    multiple=True,
    callback=_origins,
    help="Only for web pages from there, for example https://app.example.com; may be repeated.",
)
