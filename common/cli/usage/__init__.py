"""`sluice usage`."""

from common.cli.lazy import LazyGroup

command = LazyGroup(
    "usage",
    package="common.cli.usage",
    modules=("repair",),
    help="Usage records.",
)
