"""The D1 adapter against a binding that fails as told; that it works on the real one is in the contract suites."""

import asyncio
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from common.adapters.sql import d1
from common.adapters.sql.d1 import MOST, D1Database, MigratedD1
from common.adapters.sql.database import Statement
from common.model.errors import StorageUnavailable

READ = Statement("SELECT 1 AS one")
WRITE = Statement("INSERT INTO t VALUES (1)")
OVERLOADED = "D1_ERROR: D1 DB is overloaded. Too many requests queued."
LOST = "D1_ERROR: Network connection lost."


class JsException(Exception):
    """Pyodide's."""


NULL = object()


class Binding:
    """Fails with each of the errors in turn, then works."""

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        self.calls: list[list[tuple[Any, ...]]] = []

    def prepare(self, sql: str) -> Any:
        """A statement."""
        return SimpleNamespace(bind=lambda *values: (sql, *values))

    async def batch(self, statements: list[tuple[Any, ...]]) -> Any:
        """Its rows are those of the first statement's number."""
        self.calls.append(statements)
        if self.errors:
            raise JsException(self.errors.pop(0))
        return [{"results": [{"one": 1, "none": None}]} for _ in statements]


@pytest.fixture(autouse=True)
def platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the adapter finds on Workers."""
    js, pyodide, ffi = ModuleType("js"), ModuleType("pyodide"), ModuleType("pyodide.ffi")
    vars(js).update(JSON=SimpleNamespace(stringify=json.dumps))
    vars(ffi).update(JsException=JsException, jsnull=NULL, to_js=lambda value: value)
    for name, module in (("js", js), ("pyodide", pyodide), ("pyodide.ffi", ffi)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(d1, "_FIRST_DELAY_S", 0.001)


async def test_rows() -> None:
    """A batch is one call; null is null both ways, and a number a double."""
    binding = Binding()
    assert await D1Database(binding).run(Statement("a", (None, "x", MOST)), READ) == [
        [(1, None)],
        [(1, None)],
    ]
    [[(_, null, text, number), _]] = binding.calls
    assert null is NULL
    assert (text, number, type(number)) == ("x", MOST, float)


@pytest.mark.parametrize("value", [MOST + 1, -MOST - 1, True, 1.5, b"x"])
async def test_values_that_cannot_be_stored(value: Any) -> None:
    """What a double does not hold, or has another type, is refused before anything is sent."""
    binding = Binding()
    with pytest.raises(ValueError, match="cannot be stored"):
        await D1Database(binding).run(Statement("a", (value,)))
    assert binding.calls == []


@pytest.mark.parametrize(
    ("statement", "error", "calls"),
    [
        pytest.param(WRITE, OVERLOADED, 3, id="never ran"),
        pytest.param(READ, LOST, 3, id="a read whose reply was lost"),
        pytest.param(WRITE, LOST, 1, id="a write whose reply was lost"),
        pytest.param(READ, "D1_ERROR: no such table: keys", 1, id="wrong for good"),
    ],
)
async def test_retries(statement: Statement, error: str, calls: int) -> None:
    """What is safe and may help is tried again; a write that may have been done is its caller's affair."""
    binding = Binding(error, error)
    database = D1Database(binding)
    if calls == 1:
        with pytest.raises(StorageUnavailable):
            await database.run(statement)
    else:
        assert await database.run(statement)
    assert len(binding.calls) == calls


async def test_no_retry_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second it has failed."""
    monkeypatch.setattr(d1, "RETRY_S", 0.02)
    binding = Binding(*[OVERLOADED] * 100)
    with pytest.raises(StorageUnavailable):
        await D1Database(binding).run(WRITE)
    assert 1 < len(binding.calls) < 10


async def test_schema_is_looked_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """The version is asked for before anything else, until it is the right one."""
    binding = Binding("D1_ERROR: no such table: schema_version: SQLITE_ERROR")
    database, other = MigratedD1(D1Database(binding), 1), MigratedD1(D1Database(Binding()), 2)
    for each, found in ((database, 0), (other, 1)):
        with pytest.raises(StorageUnavailable, match="not ready"):
            await each.run(WRITE)
        assert f"has schema {found}" in caplog.text
    assert [call[0][0] for call in binding.calls] == ["SELECT version FROM schema_version"]
    for _ in range(2):
        await database.run(WRITE)
    assert [call[0][0] for call in binding.calls[1:]] == [
        "SELECT version FROM schema_version",
        WRITE.sql,
        WRITE.sql,
    ]


async def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not answer is given up."""

    async def silent(_statements: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(d1, "GIVE_UP_S", 0.01)
    binding = Binding()
    monkeypatch.setattr(binding, "batch", silent)
    with pytest.raises(StorageUnavailable, match="in time"):
        await D1Database(binding).run(READ)
