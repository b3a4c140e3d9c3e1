"""A type of options: how long."""

import re
from typing import Any, Final

import click

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
