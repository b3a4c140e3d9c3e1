"""Options that several commands have."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from common.targets.stores import DEFAULT_DATA, Place, Target, place_of

_MAX_CHARACTERS: Final = 128
_STAGE: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[_Command], _Command]

data: Final[_Decorator[Any]] = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA,
    metavar="DIR",
    help="The folder of the database (default: .sluice/).",
)


class _Stage(click.ParamType[str]):
    """A name that AWS and Cloudflare take as a part of theirs."""

    name = "stage"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See `click.ParamType`."""
        if not _STAGE.fullmatch(value):
            self.fail(f"{value!r}: expected letters, digits and hyphens, like dev or production", param, ctx)
        return str(value)


def _keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """For `_place`, and for the commands of a group, where they don't say another."""
    name = f"{__name__}.{parameter.name}"
    if context.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT:
        context.meta[name] = value
    else:
        context.meta.setdefault(name, value)


def _place(context: click.Context, _parameter: click.Parameter, data: Path | None) -> Place:
    """Where the stores are, by all three options."""
    target, stage = (context.meta[f"{__name__}.{name}"] for name in ("target", "stage"))
    try:
        return place_of(Target(target), data, stage, os.environ)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def place(command: _Command) -> _Command:
    """`place`: where the stores are that the command works on."""
    for option in (
        click.option(
            "--stage",
            type=_Stage(),
            metavar="NAME",
            is_eager=True,
            expose_value=False,
            callback=_keep,
            help="The stage that is deployed there: on AWS, the table sluice-NAME.",
        ),
        click.option(
            "--target",
            type=click.Choice([each.value for each in Target]),
            default=Target.LOCAL.value,
            show_default=True,
            is_eager=True,
            expose_value=False,
            callback=_keep,
            help="Where the gateway runs.",
        ),
        click.option(
            "--data",
            "place",
            type=click.Path(path_type=Path),
            metavar="DIR",
            callback=_place,
            help="On one machine, the folder of the database (default: .sluice/).",
        ),
    ):
        command = option(command)
    return command


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
