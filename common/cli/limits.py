"""A key's or user's own limits: given as options, told in columns, in sentences and in JSON."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import click

from common.model.limits import Limit
from common.model.money import MONEY, usd
from common.model.principal import Overrides
from common.settings.tables import LARGEST_COUNT, UNLIMITED, nanousd

PLAN: Final = "plan"
_COUNT: Final = re.compile(r"[0-9]+(?:_[0-9]+)*", re.ASCII)  # `200_000`, as in TOML

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Words(NamedTuple):
    heading: str  # of a column
    unit: str


_WORDS: Final[Mapping[Limit, _Words]] = {
    Limit.REQUESTS_PER_MINUTE: _Words("REQ/MIN", "requests per minute"),
    Limit.TOKENS_PER_MINUTE: _Words("TOK/MIN", "tokens per minute"),
    Limit.REQUESTS_PER_DAY: _Words("REQ/DAY", "requests per UTC day"),
    Limit.TOKENS_PER_DAY: _Words("TOK/DAY", "tokens per UTC day"),
    Limit.MAX_PARALLEL: _Words("PARALLEL", "requests at a time"),
    Limit.BUDGET_DAY: _Words("USD/DAY", "US dollars per UTC day"),
    Limit.BUDGET_MONTH: _Words("USD/MONTH", "US dollars per UTC month"),
    Limit.BUDGET_TOTAL: _Words("USD TOTAL", "US dollars in total"),
}


class _Amount(click.ParamType[int | str]):
    """A number of what is limited (nano-dollars of money), or one of `words`."""

    name = "limit"

    def __init__(self, limit: Limit, words: Sequence[str]) -> None:
        self._is_money = limit in MONEY
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """See `click.ParamType`."""
        if not isinstance(value, str) or value in self._words:
            return value  # type: ignore[no-any-return] # what has been converted already
        try:
            return nanousd(value) if self._is_money else _count(value)
        except ValueError:
            amount = "US dollars like 50.00, at most 9000000" if self._is_money else "a whole number"
            words = " or ".join(f"`{word}`" for word in self._words)
            self.fail(f"{value!r}: expected {amount}, or {words}", param, ctx)


def _count(text: str) -> int:
    if _COUNT.fullmatch(text) is None or (count := int(text.replace("_", ""))) > LARGEST_COUNT:
        raise ValueError(text)
    return count


def options(*words: str) -> Callable[[_Command], _Command]:
    """An option for each limit, which takes an amount or one of `words`; for `changed`."""

    def decorate(command: _Command) -> _Command:
        for limit in reversed(Limit):
            unit = _WORDS[limit].unit
            decorator = click.option(
                f"--{limit.replace('_', '-')}",
                limit.value,
                type=_Amount(limit, words),
                metavar="USD" if limit in MONEY else "N",
                help=f"{unit[0].upper()}{unit[1:]}.",
            )
            command = decorator(command)
        return command

    return decorate


def changed(own: Overrides, given: Mapping[str, int | str | None]) -> Overrides:
    """`own`, with what the options say: an amount, `UNLIMITED`, `PLAN` (as in the plan), None (as it was)."""
    result = dict(own)
    for name, value in given.items():
        limit = Limit(name)
        match value:
            case None:
                pass
            case int():
                result[limit] = value
            case str() if value == UNLIMITED:
                result[limit] = None
            case str():
                result.pop(limit, None)
    return result


def columns(each: Sequence[Overrides]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells, for those limits alone that somebody has; where one has none of its own, nothing."""
    used = [limit for limit in Limit if any(limit in own for own in each)]
    cells = [[_amount(limit, own[limit]) if limit in own else "" for limit in used] for own in each]
    return [_WORDS[limit].heading for limit in used], cells


def facts(own: Overrides) -> list[tuple[str, str]]:
    """Two columns: what it is, and a limit a row."""
    told = [f"{_amount(limit, own[limit])} {_WORDS[limit].unit}" for limit in Limit if limit in own]
    return [("" if index else "Limits", text) for index, text in enumerate(told)]


def _amount(limit: Limit, value: int | None) -> str:
    if value is None:
        return UNLIMITED
    return usd(value) if limit in MONEY else f"{value:,}"


def as_members(own: Overrides) -> dict[str, Any]:
    """In JSON, by name. Money stands there twice: as an integer to compute with, and as an exact decimal."""
    return {limit.value: _member(limit, own[limit]) for limit in Limit if limit in own}


def _member(limit: Limit, value: int | None) -> Any:
    if value is None:
        return UNLIMITED
    return {"nanousd": value, "usd": usd(value)} if limit in MONEY else value
