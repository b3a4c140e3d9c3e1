"""One machine: SQLite, pooled connections, and the embedded model.

What is opened here is closed in reverse: last of all the database, when nothing can write to it any more.
"""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.access.authenticate import Authenticator
from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.adapters.dead_letters import FileDeadLetters
from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.sqlite import open_sqlite
from common.adapters.sql.sqlite_rows import SqliteRows
from common.adapters.sql.usage import SqlUsageStore
from common.adapters.sql.users import SqlUserStore
from common.adapters.upstream.embedded import EmbeddedModel
from common.adapters.upstream.pooled import PooledUpstream
from common.gateway.gateway import Gateway, Route
from common.gateway.job import JobContext
from common.gateway.repair import settle_again
from common.metering.meter import LimitMeter
from common.ports import KeyStore
from common.providers.provider import provider_of
from common.settings import ProviderKind, Settings
from common.targets.stores import Stores

DATABASE: Final = "sluice.db"
DEAD_LETTERS: Final = "dead-letters.jsonl"


@asynccontextmanager
async def open_stores(data: Path) -> AsyncIterator[Stores]:
    """The stores alone, for commands. `StorageUnavailable` tells what is wrong with the folder `data`."""
    async with open_sqlite(data / DATABASE) as database:
        keys, users, usage = SqlKeyStore(database), SqlUserStore(database), SqlUsageStore(database)
        yield Stores(keys, users, usage, SqliteRows(database))


async def repair_usage(data: Path) -> tuple[int, int]:
    """Settle the dead letters in the folder `data`: how many were taken, and how many are left."""
    letters = FileDeadLetters(data / DEAD_LETTERS)
    async with open_sqlite(data / DATABASE) as database:
        rows = SqliteRows(database)
        meter = LimitMeter(rows, SystemClock())
        return await letters.deliver(lambda record: settle_again(meter, rows, record))


@asynccontextmanager
async def open_routes(settings: Settings) -> AsyncIterator[Mapping[str, Route]]:
    """The ways to all providers, by their names."""
    async with AsyncExitStack() as stack:
        pooled = PooledUpstream()
        stack.push_async_callback(pooled.close)
        embedded = EmbeddedModel(pooled, random.SystemRandom())
        stack.push_async_callback(embedded.close)
        yield {
            name: Route(provider_of(each), embedded if each.kind is ProviderKind.EMBEDDED else pooled)
            for name, each in settings.providers.items()
        }


@dataclass(frozen=True, slots=True)
class LocalGateway:
    """A gateway, and what its server needs besides."""

    gateway: Gateway
    keys: KeyStore
    jobs: JobContext
    background: TaskBackground


@asynccontextmanager
async def open_local(settings: Settings, data: Path) -> AsyncIterator[LocalGateway]:
    """Everything, on the database in the folder `data`. Leaving does not wait for background work: drain it first."""
    clock = SystemClock()
    async with open_sqlite(data / DATABASE) as database, open_routes(settings) as routes:
        keys, rows = SqlKeyStore(database), SqliteRows(database)
        letters = FileDeadLetters(data / DEAD_LETTERS)
        gateway = Gateway(
            settings=settings,
            authenticator=Authenticator(keys, SqlUserStore(database), settings.plans, clock),
            meter=LimitMeter(rows, clock),
            usage=SqlUsageStore(database),
            dead_letters=letters,
            routes=routes,
            clock=clock,
            rng=random.Random(),  # noqa: S311 - ids are unique, not secret
        )
        yield LocalGateway(gateway, keys, JobContext(gateway, rows, keys, letters), TaskBackground())
