"""`sluice jobs`."""

from common.cli.lazy import LazyGroup

command = LazyGroup(
    "jobs",
    package="common.cli.jobs",
    modules=("list", "run"),
    help="Scheduled jobs.",
)
