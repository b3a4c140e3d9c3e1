"""A deployed stage's stores, for commands: D1 and KV by Cloudflare's HTTP API. See `access.py`."""

import logging
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from common.adapters.clock import SystemClock
from common.adapters.cloudflare.breakers import KvBreakerStore
from common.adapters.cloudflare.kv import KvKeyStore
from common.adapters.sql.d1 import D1Failed, WrongSchema
from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.rows import SqlRows
from common.adapters.sql.usage import SqlUsageStore
from common.adapters.sql.users import SqlUserStore
from common.adapters.upstream.pooled import PooledUpstream
from common.gateway.job import JobContext
from common.model.errors import StorageUnavailable
from common.providers.examination import Finding, State
from common.settings import Settings
from common.settings.references import Fetched
from common.targets.cloudflare.access import ACCOUNT, TOKEN, Reached, access_of
from common.targets.cloudflare.examine import check_namespace, check_workers
from common.targets.cloudflare.wiring import wire
from common.targets.cloudflare.wrangler import FILE_NAME
from common.targets.examination import Check, check_stores
from common.targets.stores import Stores

_NOT_PERMITTED: Final = (
    f"Cloudflare does not take {TOKEN} for this: it needs `D1 Edit` and `Workers KV Storage Edit`"
    " in the account."
)
_MISSING: Final = f"There is no database {{name}} with that id in the account: see {FILE_NAME} and {ACCOUNT}."
# by what the API says: a code, or the status
_ADVICE: Final = {
    "10000 ": _NOT_PERMITTED,
    "9109 ": _NOT_PERMITTED,
    "401:": _NOT_PERMITTED,
    "403:": _NOT_PERMITTED,
    "7404 ": _MISSING,
    "7003 ": _MISSING,
    "404:": _MISSING,
    "429:": "Cloudflare takes 1,200 calls in five minutes. Try again then.",
    "Upstream": "{base_url} cannot be reached. Is there a network?",
}


@dataclass(frozen=True, slots=True)
class CloudflarePlace:
    """A `Place`: the stage of wrangler.toml in the working folder."""

    stage: str
    environ: Mapping[str, str]
    file: Path = Path(FILE_NAME)

    @asynccontextmanager
    async def stores(self, *, make: bool = False) -> AsyncIterator[Stores]:  # noqa: ARG002 - a deployment makes them
        """See `Place.stores`."""
        async with self._open() as reached:
            database = reached.database
            keys = KvKeyStore(SqlKeyStore(database), reached.namespace, SystemClock())
            users, usage, rows = SqlUserStore(database), SqlUsageStore(database), SqlRows(database)
            yield Stores(keys, users, usage, rows, KvBreakerStore(reached.namespace))

    @asynccontextmanager
    async def jobs(self, settings: Settings) -> AsyncIterator[JobContext]:
        """See `Place.jobs`."""
        async with self._open() as reached:
            yield wire(settings, reached.database, reached.namespace, reached.upstream)

    async def secrets(self, references: Collection[str]) -> Fetched | None:  # noqa: ARG002 - whichever they are
        """See `Place.secrets`. What wrangler puts into a Worker nobody reads again."""
        return None

    async def examine(self, settings: Settings | None) -> list[Check]:
        """See `Place.examine`."""
        try:
            async with self._open() as reached:
                to, scripts = reached.access.to, partial(reached.access.scripts, reached.upstream)
                checks = [
                    await check_namespace(reached.namespace),
                    await check_workers(scripts, to.name, self.stage),
                ]
        except StorageUnavailable as error:
            return [Check("deployment", Finding(State.FAILED, error.message, ""))]
        return [*await check_stores(self, f"D1's {to.database_name}", settings), *checks]

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Reached]:
        """What fails is told as what to do, with Cloudflare's own words, and not logged."""
        access = access_of(self.stage, self.file, self.environ)
        name, upstream = access.to.database_name, PooledUpstream()
        with _Told():
            try:
                yield access.reach(upstream)
            except D1Failed as error:
                known = (advice for word, advice in _ADVICE.items() if word in error.why)
                told = next(known, "{name} cannot be used.")
                words = told.format(name=name, base_url=access.base_url)
                raise StorageUnavailable(f"{words} ({error.why})") from None
            except WrongSchema as error:
                raise StorageUnavailable(
                    f"{name} has schema {error.found}, this version needs {error.needed}:"
                    f" `wrangler d1 migrations apply {name} --env {self.stage} --remote`."
                ) from None
            finally:
                await upstream.close()


class _Told(logging.Handler):
    """While it is entered, what stores log is one line for the person at the terminal, or told by us anyway."""

    def __enter__(self) -> None:
        self._logs = [logging.getLogger(f"sluice.{name}") for name in ("keys", "d1")]
        for log in self._logs:
            log.addHandler(self)

    def __exit__(self, *_error: object) -> None:
        for log in self._logs:
            log.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if record.name.endswith(".keys"):
            why = record.exc_info[1] if record.exc_info else ""
            sys.stderr.write(f"Warning: {record.getMessage()} ({why})\n")
