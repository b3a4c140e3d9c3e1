"""`sluice` itself."""

import click

from common import __version__
from common.cli.lazy import LazyGroup

sluice = click.version_option(__version__, message="sluice %(version)s")(
    LazyGroup(
        "sluice",
        package="common.cli",
        modules=(
            *("serve", "keys", "users", "models", "usage", "logs", "jobs"),
            *("config", "doctor", "probe", "emulate"),
        ),
        help="An OpenAI-compatible LLM gateway.",
    )
)
