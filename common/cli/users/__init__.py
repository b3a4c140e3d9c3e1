"""`sluice users`."""

from common.cli.lazy import LazyGroup

command = LazyGroup(
    "users",
    package="common.cli.users",
    modules=("set", "list", "show"),
    help="Limit users: what binds all keys of one together.",
)
