"""`sluice usage`."""

from common.cli.usage.group import command

__all__ = ("command",)
