"""The adapters of Workers, in Pyodide in a Node process of ours: D1 and KV (workerd's own), and `fetch`.

See `tests/edge/d1.mjs`.
"""

import asyncio
import base64
import itertools
import json
import os
import subprocess
import threading
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.adapters.cloudflare.namespace import NamespaceFailed
from common.adapters.sql.database import Rows, Statement
from common.adapters.sql.migrations import FOLDER
from common.model import errors
from common.model.errors import StorageUnavailable
from common.ports import UpstreamRequest, UpstreamResponse
from tests.edge import toolbox


def configure(folder: Path, migrations: Path = FOLDER) -> Path:
    """A configuration for wrangler, with one database: its binding is `DB`."""
    binding = {
        "binding": "DB",
        "database_name": "sluice",
        "database_id": "local",
        "migrations_dir": os.path.relpath(migrations, folder),
    }
    config = {"name": "sluice", "compatibility_date": "2026-11-17", "d1_databases": [binding]}
    path = folder / "wrangler.json"
    path.write_text(json.dumps(config))
    return path


def migrate(folder: Path) -> str:
    """Let wrangler apply what is not applied yet; what it says."""
    state = ("--local", "--persist-to", str(folder / "state"), "--config", str(folder / "wrangler.json"))
    return toolbox.run_node(toolbox.WRANGLER, "d1", "migrations", "apply", "sluice", *state, home=folder)


@contextmanager
def open_d1(folder: Path) -> Iterator["LocalD1"]:
    """The database whose state is in `folder`, which has been configured."""
    command = [str(toolbox.node()), "d1.mjs", str(folder / "wrangler.json"), str(folder / "state")]
    env = os.environ | {"CI": "1", "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=toolbox.EDGE, env=env, stdin=pipe, stdout=pipe, text=True) as process:
        database = LocalD1(process)
        try:
            yield database
        finally:
            database.close()


class LocalD1:
    """A `Database`. It belongs to no event loop."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._to, self._from = process.stdin, process.stdout
        self._ids = itertools.count()
        self._pending: dict[int, Future[dict[str, Any]]] = {}
        self.rows_written = 0  # as D1 would bill them
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    async def run(self, *statements: Statement) -> Sequence[Rows]:
        """See `Database.run`."""
        outcome = await asyncio.wrap_future(self._ask(statements=_sent(statements)))
        return [[tuple(row) for row in rows] for rows in outcome["rows"]]

    def run_now(self, *statements: Statement) -> Sequence[Rows]:
        """`run`, for who has no event loop."""
        outcome = self._ask(statements=_sent(statements)).result(timeout=60)
        return [[tuple(row) for row in rows] for rows in outcome["rows"]]

    async def kv(self, method: str, *arguments: object, **named: object) -> Any:
        """A method of `Namespace`."""
        try:
            return (await asyncio.wrap_future(self._ask(kv=[method, arguments, named])))["value"]
        except StorageUnavailable as error:
            raise NamespaceFailed(error.message) from error

    async def fetch(self, *what: object) -> Any:
        """See `tests/edge/inside/fetch_door.py`. Raises what the adapter raised."""
        try:
            return (await asyncio.wrap_future(self._ask(fetch=what)))["value"]
        except StorageUnavailable as error:
            raise getattr(errors, error.message)("as told") from error

    def _ask(self, **what: object) -> Future[dict[str, Any]]:
        answer: Future[dict[str, Any]] = Future()
        self._pending[number := next(self._ids)] = answer
        self._to.write(f"{json.dumps({'id': number, **what})}\n")
        self._to.flush()
        return answer

    def _listen(self) -> None:
        for line in self._from:
            outcome = json.loads(line)
            self.rows_written += outcome.get("written", 0)
            self._answer(outcome["id"], outcome)
        for number in list(self._pending):
            self._answer(number, {"error": "The process has ended."})

    def _answer(self, number: int, outcome: dict[str, Any]) -> None:
        answer = self._pending.pop(number)
        if not answer.set_running_or_notify_cancel():
            return
        if error := outcome.get("error"):
            answer.set_exception(StorageUnavailable(error))
        else:
            answer.set_result(outcome)

    def close(self) -> None:
        """Let the process finish what it was asked; it ends by itself then."""
        self._to.close()
        self._listener.join()


class LocalNamespace:
    """A `Namespace` of its own for who opens it: whatever others put is not seen, however late it comes."""

    def __init__(self, local: LocalD1) -> None:
        self._local = local
        self._prefix = f"{uuid.uuid4()}:"

    async def get(self, name: str) -> str | None:
        """See `Namespace.get`."""
        found: str | None = await self._local.kv("get", self._prefix + name)
        return found

    async def put(self, name: str, value: str, *, expires_s: int | None = None) -> None:
        """See `Namespace.put`."""
        await self._local.kv("put", self._prefix + name, value, expires_s=expires_s)

    async def delete(self, name: str) -> None:
        """See `Namespace.delete`."""
        await self._local.kv("delete", self._prefix + name)

    async def names(self, prefix: str, most: int) -> Sequence[str]:
        """See `Namespace.names`."""
        found: list[str] = await self._local.kv("names", self._prefix + prefix, most)
        return [name.removeprefix(self._prefix) for name in found]


class LocalFetch:
    """An `Upstream`: `FetchUpstream` in Pyodide."""

    _numbers = itertools.count()

    def __init__(self, local: LocalD1) -> None:
        self._local = local

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """See `Upstream.send`."""
        number = next(self._numbers)
        asked = asdict(request) | {"body": base64.b64encode(request.body).decode()}
        try:
            head = await self._local.fetch("send", number, asked)
            yield _FetchResponse(self._local, number, head["status"], head["headers"])
        finally:
            await self._local.fetch("leave", number)


@dataclass(frozen=True, slots=True)
class _FetchResponse:
    _local: LocalD1
    _number: int
    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """See `UpstreamResponse.read`."""
        return base64.b64decode(await self._local.fetch("read", self._number))


def _sent(statements: Sequence[Statement]) -> list[tuple[str, Sequence[object]]]:
    return [(statement.sql, statement.parameters) for statement in statements]
