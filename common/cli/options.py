"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

DEFAULT_DATA: Final = Path(".sluice")
_MAX_CHARACTERS: Final = 128

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[_Command], _Command]

data: Final[_Decorator[Any]] = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA,
    metavar="DIR",
    help="The folder of the database (default: .sluice/).",
)
config: Final[_Decorator[Any]] = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration (default: sluice.toml, if there is one).",
)
plan: Final[_Decorator[Any]] = click.option(
    "--plan", metavar="NAME", help="Its plan, one of the configuration's."
)
as_json: Final[_Decorator[Any]] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for scripts."
)


def printable(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """A name that a person can read and a terminal can show; for `callback=`."""
    if value is not None and not (value.strip() and value.isprintable() and len(value) <= _MAX_CHARACTERS):
        raise click.BadParameter(f"expected 1 to {_MAX_CHARACTERS} printable characters")
    return value
