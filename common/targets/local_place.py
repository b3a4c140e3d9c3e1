"""One machine's stores, for commands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from common.gateway.job import JobContext
from common.model.errors import StorageUnavailable
from common.settings import Settings
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

    def _need_database(self) -> None:
        if is_missing(self.data / DATABASE):
            raise StorageUnavailable(
                f"There is no database in {self.data}: name its folder with --data,"
                " or make one with `sluice keys create`."
            )


def is_missing(path: Path) -> bool:
    """Whether it is certain that there is no such file; whatever else is wrong with it, opening it tells."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
