"""`sluice keys`."""

from common.cli.lazy import LazyGroup

command = LazyGroup(
    "keys",
    package="common.cli.keys",
    modules=("create", "list", "show", "set", "rotate", "disable", "enable", "delete"),
    help="Make, show and change API keys.",
)
