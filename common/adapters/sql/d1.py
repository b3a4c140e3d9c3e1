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
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from common.adapters.sql.database import Rows, Statement, Value
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


class D1Database:
    """A `Database`. It holds the binding alone, which all requests of an isolate may use."""

    def __init__(self, binding: Any) -> None:
        """`binding`: the JS object."""
        self._binding = binding
        self._js: Any = import_module("js")
        self._ffi: Any = import_module("pyodide.ffi")

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
            except self._ffi.JsException as error:
                if loop.time() + delay_s > last_try or not _is_worth_retrying(str(error), reads=reads):
                    raise StorageUnavailable("The database failed.") from error
            except TimeoutError as error:
                raise StorageUnavailable("The database did not answer in time.") from error
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - to spread those who come again
            delay_s *= 2

    async def _batch(self, statements: Sequence[Statement]) -> list[Rows]:
        prepared = [
            self._binding.prepare(each.sql).bind(*map(self._to_js, each.parameters)) for each in statements
        ]
        async with asyncio.timeout(GIVE_UP_S):
            results = await self._binding.batch(self._ffi.to_js(prepared))
        return [
            [tuple(row.values()) for row in result["results"]]
            for result in json.loads(self._js.JSON.stringify(results))
        ]

    def _to_js(self, value: Value) -> Any:
        # Pyodide makes a BigInt of 2^53 - 1 already, which D1 refuses
        if value is None:
            return self._ffi.jsnull
        return value if isinstance(value, str) else float(value)


class MigratedD1(D1Database):
    """One that looks, before anything else, whether it has the tables of this version. wrangler makes them."""

    def __init__(self, binding: Any, version: int) -> None:
        """`version`: of the last migration in infra/sql."""
        super().__init__(binding)
        self._version = version
        self._is_known = False

    async def run(self, *statements: Statement) -> Sequence[Rows]:
        """See `Database.run`. The log tells what to do where the tables are missing, or of another version."""
        if not self._is_known:
            await self._require_version()
        return await super().run(*statements)

    async def _require_version(self) -> None:
        try:
            ((row,),) = await super().run(_VERSION)
        except StorageUnavailable as error:
            if "no such table" not in str(error.__cause__):
                raise
            row = (0,)
        if row[0] != self._version:
            _log.error(
                "the database has schema %s, this version needs %s: `wrangler d1 migrations apply`",
                row[0],
                self._version,
            )
            raise StorageUnavailable("The database is not ready.")
        self._is_known = True


def _check(parameters: Sequence[Value]) -> None:
    for value in parameters:
        if value is not None and not isinstance(value, str) and (type(value) is not int or abs(value) > MOST):
            raise ValueError(f"cannot be stored: {value!r}")


def _is_worth_retrying(error: str, *, reads: bool) -> bool:
    if any(words in error for words in _NEVER_RAN):
        return True
    return reads and any(words in error for words in _PASSING)
