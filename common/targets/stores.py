"""Stores that commands act on, wherever they are: in a folder of this machine, or deployed in a stage.

Each target has a module that opens them; which one that is, is said here, and nowhere else. What a cloud needs is
imported for that cloud alone.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:  # half the gateway, which whoever asks for help does without
    from common.gateway.job import JobContext
    from common.metering.rows import RowList
    from common.ports import KeyStore, UsageStore, UserStore
    from common.settings import Settings


DEFAULT_DATA: Final = Path(".sluice")


class Target(StrEnum):
    """Where a gateway runs."""

    LOCAL = "local"
    AWS = "aws"


@dataclass(frozen=True, slots=True)
class Stores:
    """Who may ask, their limits, and what they have used."""

    keys: "KeyStore"
    users: "UserStore"
    usage: "UsageStore"
    rows: "RowList"


class Place(Protocol):
    """Where stores are. Whatever fails is a `StorageUnavailable` whose message tells the operator what to do."""

    def stores(self, *, make: bool = False) -> AbstractAsyncContextManager[Stores]:
        """Open them. `make`: where there are none, and they are made without a deployment."""

    def jobs(self, settings: "Settings") -> "AbstractAsyncContextManager[JobContext]":
        """Open what jobs need."""


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
