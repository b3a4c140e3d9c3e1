"""`sluice config`."""

from common.cli.lazy import LazyGroup

command = LazyGroup(
    "config", package="common.cli.config", modules=("check",), help="Look at the configuration."
)
