"""`sluice keys`."""

from common.cli.lazy import LazyGroup

command = LazyGroup(
    "keys",
    package="common.cli.keys",
    modules=("create", "list", "delete"),
    help="Create, list and delete API keys.",
)
