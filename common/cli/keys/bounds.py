"""Options on what a key may do, from where, and how long."""

from typing import Final

import click
from pydantic import TypeAdapter, ValidationError

from common.model.principal import Permission
from common.settings.values import Origin

NEVER: Final = "never"
_LONGEST_GLOB: Final = 256


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
