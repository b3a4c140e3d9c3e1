"""One machine's stores, for commands."""

import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from common.gateway.job import JobContext
from common.model.errors import StorageUnavailable
from common.providers.examination import Finding, State
from common.settings import Settings
from common.settings.references import Fetched
from common.targets.examination import Check, check_stores
from common.targets.local import DATABASE, open_local, open_stores
from common.targets.stores import Stores


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A `Place`: the folder of the database."""

    data: Path

    @asynccontextmanager
    async def stores(self, *, make: bool = False) -> AsyncIterator[Stores]:
        """See `Place.stores`. `make`: folder and database."""
        if not make:
            self._need_database()
        async with open_stores(self.data) as stores:
            yield stores

    @asynccontextmanager
    async def jobs(self, settings: Settings) -> AsyncIterator[JobContext]:
        """See `Place.jobs`."""
        self._need_database()
        async with open_local(settings, self.data) as local:
            yield local.jobs

    async def secrets(self, references: Collection[str]) -> Fetched | None:  # noqa: ARG002 - there are none
        """See `Place.secrets`."""
        return None

    async def examine(self, settings: Settings | None) -> list[Check]:
        """See `Place.examine`."""
        if is_missing(self.data / DATABASE):
            return [Check("storage", _not_made_yet(self.data))]
        name = f"{self.data / DATABASE}"
        advice = f"Can {name} be written by this user, and is there room? No request is admitted before."
        return await check_stores(self, name, settings, advice_on_writing=advice)

    def _need_database(self) -> None:
        if is_missing(self.data / DATABASE):
            raise StorageUnavailable(
                f"There is no database in {self.data}: name its folder with --data,"
                " or make one with `sluice keys create`."
            )


def _not_made_yet(data: Path) -> Finding:
    folder = data.absolute()
    while is_missing(folder):
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return Finding(State.OK, f"There is no database in {data} yet: `sluice serve` makes one.")
    said = (
        f"There is no database in {data}, and none can be made: {folder} is not a folder that can be written."
    )
    return Finding(State.FAILED, said, "Make it writable, or choose another folder with --data.")


def is_missing(path: Path) -> bool:
    """Whether it is certain that there is no such file; whatever else is wrong with it, opening it tells."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
