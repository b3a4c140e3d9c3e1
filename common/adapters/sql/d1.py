"""`Database` over a Worker's D1 binding, in Pyodide. A batch of D1's is one transaction, rolled back whole.

Types at the border are exact: None is null (Pyodide's own way is `undefined`, which D1 refuses), and an integer that a
double does not hold is refused before anything is sent. Rows come as one text of JSON, which keeps the integers that
were stored, and crosses into Python once.

What is tried again, within a second: what D1 refused before it ran (overload), and, of batches that only read, what
may have been lost on the way. A write whose reply was lost may have taken effect; its caller decides.
Errors: https://developers.cloudflare.com/d1/observability/debug-d1/ (November 2026).
"""

import asyncio
import json
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from common.adapters.sql.database import Database, Rows, Statement, Value
from common.model.errors import StorageUnavailable

MOST: Final = 2**53 - 1  # D1 binds every number as a double
RETRY_S: Final = 1.0
GIVE_UP_S: Final = 5.0  # a database that is reset or far away takes seconds, one that hangs takes 30
_FIRST_DELAY_S: Final = 0.05
_NEVER_RAN: Final = ("overloaded", "Too many requests queued", "queued for too long")
_PASSING: Final = (
    "Network connection lost",
    "caused object to be reset",
    "reset because its code was updated",
)
_VERSION: Final = Statement("SELECT version FROM schema_version")

_log = logging.getLogger("sluice.d1")


class D1Failed(StorageUnavailable):
    """A batch that failed. `why`: what D1 said; for operators alone."""

    def __init__(self, why: str) -> None:
        super().__init__("The database failed.")
        self.why = why


class WrongSchema(StorageUnavailable):
    """The tables are those of another version, or there are none: 0."""

    def __init__(self, found: int, needed: int) -> None:
        super().__init__("The database is not ready.")
        self.found = found
        self.needed = needed


class D1(ABC):
    """A `Database` that is D1, however it is reached."""

    async def run(self, *statements: Statement) -> Sequence[Rows]:
        """See `Database.run`. `ValueError`: an integer that cannot be stored, or a value of another type."""
        for statement in statements:
            _check(statement.parameters)
        reads = all(statement.sql.startswith("SELECT") for statement in statements)
        loop = asyncio.get_running_loop()
        last_try = loop.time() + RETRY_S
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                return await self._batch(statements)
            except D1Failed as error:
                if loop.time() + delay_s > last_try or not _is_worth_retrying(error.why, reads=reads):
                    raise
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - to spread those who come again
            delay_s *= 2

    @abstractmethod
    async def _batch(self, statements: Sequence[Statement]) -> Sequence[Rows]:
        """One try. `D1Failed` tells what D1 said; `StorageUnavailable`: there is no use in another."""


class D1Database(D1):
    """By a Worker's binding. It holds that alone, which all requests of an isolate may use."""

    def __init__(self, binding: Any) -> None:
        """`binding`: the JS object."""
        self._binding = binding
        self._js: Any = import_module("js")
        self._ffi: Any = import_module("pyodide.ffi")

    async def _batch(self, statements: Sequence[Statement]) -> list[Rows]:
        try:
            prepared = [
                self._binding.prepare(each.sql).bind(*map(self._to_js, each.parameters))
                for each in statements
            ]
            async with asyncio.timeout(GIVE_UP_S):
                results = await self._binding.batch(self._ffi.to_js(prepared))
        except self._ffi.JsException as error:
            raise D1Failed(str(error)) from error
        except TimeoutError as error:
            raise StorageUnavailable("The database did not answer in time.") from error
        return [
            [tuple(row.values()) for row in result["results"]]
            for result in json.loads(self._js.JSON.stringify(results))
        ]

    def _to_js(self, value: Value) -> Any:
        # Pyodide makes a BigInt of 2^53 - 1 already, which D1 refuses
        if value is None:
            return self._ffi.jsnull
        return value if isinstance(value, str) else float(value)


class MigratedD1:
    """A `Database` that looks, before anything else, whether it has the tables of this version. wrangler makes them."""

    def __init__(self, database: Database, version: int) -> None:
        """`version`: of the last migration in infra/sql."""
        self._database = database
        self._version = version
        self._is_known = False

    async def run(self, *statements: Statement) -> Sequence[Rows]:
        """See `Database.run`. The log tells what to do where the tables are missing, or of another version."""
        if not self._is_known:
            await self._require_version()
        return await self._database.run(*statements)

    async def _require_version(self) -> None:
        try:
            ((row,),) = await self._database.run(_VERSION)
        except D1Failed as error:
            if "no such table" not in error.why:
                raise
            row = (0,)
        if row[0] != self._version:
            _log.error(
                "the database has schema %s, this version needs %s: `wrangler d1 migrations apply`",
                row[0],
                self._version,
            )
            raise WrongSchema(row[0], self._version)
        self._is_known = True


def _check(parameters: Sequence[Value]) -> None:
    for value in parameters:
        if value is not None and not isinstance(value, str) and (type(value) is not int or abs(value) > MOST):
            raise ValueError(f"cannot be stored: {value!r}")


def _is_worth_retrying(error: str, *, reads: bool) -> bool:
    if any(words in error for words in _NEVER_RAN):
        return True
    return reads and any(words in error for words in _PASSING)
