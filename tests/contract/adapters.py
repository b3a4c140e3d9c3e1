"""Every adapter under the contract of its port. To register one is to add an entry here.

An entry opens its adapter for one test: empty, and closed afterwards. `request` gives access to fixtures.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import pytest

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.adapters.memory import MemoryKeyStore, MemoryMeter
from common.adapters.sql.database import Database, Statement
from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.meter import SqlMeter
from common.adapters.sql.sqlite import open_sqlite
from common.adapters.sql.usage import SqlUsageStore
from common.adapters.upstream.pooled import PooledUpstream
from common.ports import Background, Clock, KeyStore, Meter, Upstream, UsageStore
from tests.support.d1 import LocalD1

_T = TypeVar("_T")
Opener: TypeAlias = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[_T]]


@dataclass(frozen=True, slots=True)
class Stores:
    """What one storage backend provides."""

    keys: KeyStore
    meter: Meter
    usage: UsageStore


_TABLES: Final = """
SELECT name FROM sqlite_master
WHERE type = 'table' AND name <> 'schema_version' AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'
"""


@asynccontextmanager
async def sqlite(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A new file."""
    folder: Path = request.getfixturevalue("tmp_path")
    async with open_sqlite(folder / "sluice.db") as database:
        yield database


@asynccontextmanager
async def d1(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """One process for all tests, emptied after each."""
    database: LocalD1 = request.getfixturevalue("local_d1")
    yield database
    (tables,) = await database.run(Statement(_TABLES))
    await database.run(*(Statement(f"DELETE FROM {name}") for (name,) in tables))


@asynccontextmanager
async def memory(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Dictionaries."""
    meter = MemoryMeter()
    yield Stores(MemoryKeyStore(), meter, usage=meter)


def sql(open_database: Opener[Database]) -> Opener[Stores]:
    """The stores in SQL, on any engine."""

    @asynccontextmanager
    async def open_stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
        async with open_database(request) as database:
            yield Stores(SqlKeyStore(database), SqlMeter(database), SqlUsageStore(database))

    return open_stores


@asynccontextmanager
async def pooled(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    """Over sockets."""
    upstream = PooledUpstream()
    yield upstream
    await upstream.close()


DATABASES: Final[Mapping[str, Opener[Database]]] = {"sqlite": sqlite, "d1": d1}
STORES: Final[Mapping[str, Opener[Stores]]] = {
    "memory": memory,
    **{name: sql(opener) for name, opener in DATABASES.items()},
}
UPSTREAMS: Final[Mapping[str, Opener[Upstream]]] = {"pooled": pooled}
BACKGROUNDS: Final[Mapping[str, Callable[[], Background]]] = {"tasks": TaskBackground}
CLOCKS: Final[Mapping[str, Callable[[], Clock]]] = {"system": SystemClock}
