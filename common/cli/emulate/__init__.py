"""`sluice emulate`."""

from common.cli.lazy import LazyGroup

command = LazyGroup(
    "emulate",
    package="common.cli.emulate",
    modules=("aws",),
    help="Run functions on this machine as a cloud does.",
)
