"""A group of commands that imports only the one it is asked for."""

from collections.abc import Sequence
from importlib import import_module

import click


class LazyGroup(click.Group):
    """Its commands are the modules `modules` of `package`, in this order; each exports one as `command`."""

    def __init__(self, name: str, *, package: str, modules: Sequence[str], help: str) -> None:  # noqa: A002 - click's
        super().__init__(name, help=help)
        self._package = package
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """See `click.Group`."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """See `click.Group`."""
        if cmd_name not in self._modules:
            return None
        command: click.Command = import_module(f"{self._package}.{cmd_name}").command
        return command
