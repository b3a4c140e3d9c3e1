"""`sluice models`."""

from common.cli.lazy import LazyGroup

command = LazyGroup(
    "models",
    package="common.cli.models",
    modules=("list", "refresh"),
    help="Look at the models that can be asked for, and at what is known of them.",
)
