"""Stores that commands act on, wherever they are: in a folder of this machine, or deployed in a stage.

Each target has a module that opens them; which one that is, is said here, and nowhere else. What a cloud needs is
imported for that cloud alone.
"""

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:  # half the gateway, which whoever asks for help does without
    from common.gateway.job import JobContext
    from common.metering.rows import RowList
    from common.ports import BreakerStore, KeyStore, UsageStore, UserStore
    from common.settings import Settings
    from common.settings.references import Fetched
    from common.targets.examination import Check


DEFAULT_DATA: Final = Path(".sluice")


class Target(StrEnum):
    """Where a gateway runs."""

    LOCAL = "local"
    AWS = "aws"
    CLOUDFLARE = "cloudflare"


@dataclass(frozen=True, slots=True)
class Stores:
    """Who may ask, their limits, and what they have used; whom instances tell each other not to trust."""

    keys: "KeyStore"
    users: "UserStore"
    usage: "UsageStore"
    rows: "RowList"
    breakers: "BreakerStore | None" = None  # None: an instance keeps them to itself


class Place(Protocol):
    """Where stores are. Whatever fails is a `StorageUnavailable` whose message tells the operator what to do."""

    def stores(self, *, make: bool = False) -> AbstractAsyncContextManager[Stores]:
        """Open them. `make`: where there are none, and they are made without a deployment."""

    def jobs(self, settings: "Settings") -> "AbstractAsyncContextManager[JobContext]":
        """Open what jobs need."""

    async def secrets(self, references: Collection[str]) -> "Fetched | None":
        """Fetch secrets that are kept there. None: none are kept there."""

    async def examine(self, settings: "Settings | None") -> "list[Check]":
        """Look at all that is there, for `sluice doctor`. `settings` None: they have mistakes."""


def place_of(target: Target, data: Path | None, stage: str | None, environ: Mapping[str, str]) -> Place:
    """Of what the command line says. `ValueError` tells what does not go together."""
    match target:
        case Target.LOCAL:
            from common.targets.local_place import LocalPlace

            if stage is not None:
                raise ValueError("--stage is of a deployed target: name it with --target, too.")
            return LocalPlace(data or DEFAULT_DATA)
        case Target.AWS:
            from common.targets.aws.place import AwsPlace, table_of

            if data is not None:
                raise ValueError(
                    "--data is a folder of this machine: it says nothing about a deployed target."
                )
            return AwsPlace(table_of(stage, environ))
        case Target.CLOUDFLARE:
            from common.targets.cloudflare.place import CloudflarePlace

            if data is not None:
                raise ValueError(
                    "--data is a folder of this machine: it says nothing about a deployed target."
                )
            if stage is None:
                raise ValueError("name the stage with --stage: one of those in wrangler.toml.")
            return CloudflarePlace(stage, environ)
