"""Cloudflare's HTTP API as far as operators' commands use it: D1's SQL on SQLite in memory, KV in a dictionary.

As D1 does, it binds every number as a double, carries a batch out as one transaction, and refuses one of its own. That
the same statements do the same on the real D1 is shown by the contract suites.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from common.adapters.cloudflare.namespace_http import HttpNamespace
from common.adapters.sql.d1_http import HttpD1
from common.adapters.sql.migrations import migrations, statements
from common.adapters.upstream.pooled import PooledUpstream
from common.ports import Timeouts, UpstreamRequest
from tests.support.origin import Asked, Exchange, origin

TOKEN: Final = "cf-token"
ACCOUNT: Final = "a1"
DATABASE: Final = "d1"
NAMESPACE: Final = "n1"
WRANGLER: Final = f"""
name = "sluice"
[[d1_databases]]
binding = "DB"
database_name = "sluice-dev"
database_id = "{DATABASE}"
[[kv_namespaces]]
binding = "KV"
id = "{NAMESPACE}"
"""
_PATIENCE: Final = Timeouts(connect_s=10, first_byte_s=30, idle_s=10)
_DATABASE_PATH: Final = f"/accounts/{ACCOUNT}/d1/database/{DATABASE}/raw"
_SCRIPTS_PATH: Final = f"/accounts/{ACCOUNT}/workers/scripts"
_NAMESPACE_PATH: Final = f"/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}"


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, status: str, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message}


@dataclass(slots=True)
class CloudflareApi:
    """What is stored, and what it was asked."""

    url: str
    connection: sqlite3.Connection
    values: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    fault: Callable[[], Refused | None] = lambda: None

    async def play(self, exchange: Exchange) -> None:
        """Answer one call."""
        asked = exchange.asked
        self.calls.append(f"{asked.method} {asked.target.partition('?')[0]}")
        try:
            status, body = self._answer(asked)
        except Refused as refused:
            status, body = refused.status, _envelope(None, refused.error)
        await exchange.answer(body, status, "content-type: application/json")

    def _answer(self, asked: Asked) -> tuple[str, bytes]:
        if fault := self.fault():
            raise fault
        if asked.values("authorization") != [f"Bearer {TOKEN}"]:
            raise Refused("403 Forbidden", 10000, "Authentication error")
        return self._carry_out(asked.method, asked.target, asked.body)

    def _carry_out(self, method: str, target: str, body: bytes) -> tuple[str, bytes]:
        parts = urlsplit(target)
        path, query = parts.path.removeprefix("/client/v4"), parse_qs(parts.query)
        if path == _DATABASE_PATH:
            return "200 OK", _envelope(self._batch(json.loads(body)["batch"]))
        if path == _SCRIPTS_PATH:
            return "200 OK", _envelope([{"id": name} for name in self.workers])
        if not path.startswith(_NAMESPACE_PATH):
            raise Refused("404 Not Found", 7404, "The database could not be found")
        match method, path.removeprefix(_NAMESPACE_PATH).split("/")[1:]:
            case "GET", ["keys"]:
                names = sorted(name for name in self.values if name.startswith(query["prefix"][0]))
                return "200 OK", _envelope([{"name": name} for name in names[: int(query["limit"][0])]])
            case "GET", ["values", name]:
                found = self.values.get(unquote(name))
                if found is None:
                    raise Refused("404 Not Found", 10009, "get: 'key not found'")
                return "200 OK", found.encode()
            case "PUT", ["values", name]:
                self.values[unquote(name)] = body.decode()
                return "200 OK", _envelope(None)
            case "DELETE", ["values", name]:
                self.values.pop(unquote(name), None)
                return "200 OK", _envelope(None)
            case _:
                raise AssertionError((method, target))

    def _batch(self, batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            results = [self._statement(each["sql"], each["params"]) for each in batch]
        except sqlite3.Error as error:
            self.connection.execute("ROLLBACK")
            raise Refused("400 Bad Request", 7500, f"{error}: SQLITE_ERROR") from error
        self.connection.execute("COMMIT")
        return results

    def _statement(self, sql: str, parameters: Sequence[Any]) -> dict[str, Any]:
        bound = [float(each) if isinstance(each, int) else each for each in parameters]
        cursor = self.connection.execute(sql, bound)
        columns = [column for column, *_ in cursor.description or ()]
        if not columns:
            return {"success": True, "results": {}}
        return {"success": True, "results": {"columns": columns, "rows": cursor.fetchall()}}


def _envelope(result: Any, *errors: Any) -> bytes:
    return json.dumps({"result": result, "success": not errors, "errors": errors, "messages": []}).encode()


@asynccontextmanager
async def open_api(*, migrated: bool = True) -> AsyncIterator[CloudflareApi]:
    """The API, with an account that has one database and one namespace."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for step in migrations() if migrated else ():
        for sql in statements(step.script):
            connection.execute(sql)
    api = CloudflareApi("", connection)
    async with origin(api.play) as server:
        api.url = f"{server.url}/client/v4"
        yield api
    connection.close()


@asynccontextmanager
async def open_stores(api: CloudflareApi) -> AsyncIterator[tuple[HttpD1, HttpNamespace]]:
    """Its database and its namespace."""
    upstream = PooledUpstream()

    async def call(method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        headers = (("authorization", f"Bearer {TOKEN}"),)
        pieces: list[bytes] = []
        request = UpstreamRequest(method, f"{api.url}{path}", headers, body, _PATIENCE)
        async with upstream.send(request) as response:
            while piece := await response.read():
                pieces.append(piece)
        return response.status, b"".join(pieces)

    async def post(body: bytes) -> tuple[int, bytes]:
        return await call("POST", _DATABASE_PATH, body)

    async def call_namespace(method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        return await call(method, f"{_NAMESPACE_PATH}{path}", body)

    yield HttpD1(post), HttpNamespace(call_namespace)
    await upstream.close()
