"""Every adapter under the contract of its port. To register one is to add an entry here.

An entry opens its adapter for one test: empty, and closed afterwards. `request` gives access to fixtures.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias, TypeVar

import pytest

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.adapters.memory import MemoryKeyStore, MemoryRows, MemoryUserStore
from common.adapters.sql.database import Database, Statement
from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.rows import SqlRows
from common.adapters.sql.sqlite import SqliteDatabase, open_sqlite
from common.adapters.sql.sqlite_rows import SqliteRows
from common.adapters.sql.usage import SqlUsageStore
from common.adapters.sql.users import SqlUserStore
from common.adapters.upstream.pooled import PooledUpstream
from common.metering.rows import RowList, Rows
from common.ports import Background, Clock, KeyStore, Upstream, UsageStore, UserStore
from tests.support import dynamodb
from tests.support.d1 import LocalD1

_T = TypeVar("_T")
_D = TypeVar("_D", bound=Database)
Opener: TypeAlias = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[_T]]


class AllRows(Rows, RowList, Protocol):
    """Rows as an engine provides them."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What one storage backend provides."""

    keys: KeyStore
    users: UserStore
    rows: AllRows
    usage: UsageStore
    together: bool = (
        True  # two rows change in one step; else one after the other, and the first is taken back
    )


_TABLES: Final = """
SELECT name FROM sqlite_master
WHERE type = 'table' AND name <> 'schema_version' AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'
"""


@asynccontextmanager
async def sqlite(request: pytest.FixtureRequest) -> AsyncIterator[SqliteDatabase]:
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
    rows = MemoryRows()
    yield Stores(MemoryKeyStore(), MemoryUserStore(), rows, usage=rows)


def sql(open_database: Opener[_D], rows: Callable[[_D], AllRows]) -> Opener[Stores]:
    """The stores in SQL, on any engine; the meter's rows are the engine's own."""

    @asynccontextmanager
    async def open_stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
        async with open_database(request) as database:
            yield Stores(
                SqlKeyStore(database), SqlUserStore(database), rows(database), SqlUsageStore(database)
            )

    return open_stores


def dynamo(endpoint: Callable[[], str]) -> Opener[Stores]:
    """A new table at an endpoint."""

    @asynccontextmanager
    async def open_stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
        async with dynamodb.open_dynamo(endpoint()) as local:
            yield Stores(local.keys(), local.users(), local.rows(), local.usage(), together=False)

    return open_stores


@asynccontextmanager
async def pooled(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    """Over sockets."""
    upstream = PooledUpstream()
    yield upstream
    await upstream.close()


DATABASES: Final[Mapping[str, Opener[Database]]] = {"sqlite": sqlite, "d1": d1}
STORES: Final[dict[str, Opener[Stores]]] = {
    "memory": memory,
    "sqlite": sql(sqlite, SqliteRows),
    "d1": sql(d1, SqlRows),
    "dynamodb on moto": dynamo(dynamodb.moto),
}
if dynamodb.ENDPOINT is not None:
    STORES["dynamodb"] = dynamo(lambda: str(dynamodb.ENDPOINT))
UPSTREAMS: Final[Mapping[str, Opener[Upstream]]] = {"pooled": pooled}
BACKGROUNDS: Final[Mapping[str, Callable[[], Background]]] = {"tasks": TaskBackground}
CLOCKS: Final[Mapping[str, Callable[[], Clock]]] = {"system": SystemClock}
