"""The Workers of a deployment, offline, behind one address: see `serve.mjs`.

with open_workers(folder, configuration, variables) as edge:
    key = ...                      # edge.database is what their D1 binding is
    openai.OpenAI(base_url=f"{edge.url}/v1", api_key=key)
"""

import asyncio
import itertools
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final

from common.adapters.sql.database import Rows, Statement
from common.adapters.sql.migrations import migrations, statements
from common.model.errors import StorageUnavailable
from infra.cloudflare.stage import Worker, all_workers, stage
from tests.edge import toolbox

COMPATIBILITY_DATE: Final = "2026-11-17"
_START_S: Final = 120.0
_ANSWER_S: Final = 60.0
_NO_OTHERS: Final[Mapping[str, str]] = MappingProxyType({})


class Edge:
    """Workers that answer at `url`, and their bindings; a `Database`, which is their D1's. It belongs to no loop."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._to, self._from = process.stdin, process.stdout
        self._ids = itertools.count()
        self._pending: dict[int, Future[dict[str, Any]]] = {}
        first = self._from.readline()
        if not first:
            raise RuntimeError("the Workers did not start; what Node printed says why")
        started = json.loads(first)
        self.url: str = started["url"]
        self.import_ms: float = started["import_ms"]  # of all Workers' modules
        self.pid = process.pid
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def ask(self, what: str, **more: object) -> Future[dict[str, Any]]:
        """What `serve.mjs` lists."""
        answer: Future[dict[str, Any]] = Future()
        self._pending[number := next(self._ids)] = answer
        self._to.write(f"{json.dumps({'id': number, 'ask': what, **more})}\n")
        self._to.flush()
        return answer

    def drain(self) -> dict[str, Any]:
        """What is left behind once the work of all requests is done."""
        return self.ask("drain").result(_ANSWER_S)

    async def run(self, *batch: Statement) -> Sequence[Rows]:
        """See `Database.run`."""
        sent = [(statement.sql, statement.parameters) for statement in batch]
        outcome = await asyncio.wrap_future(self.ask("statements", statements=sent))
        return [[tuple(row) for row in rows] for rows in outcome["rows"]]

    def migrate(self) -> None:
        """Apply what is missing, directly; that wrangler's command does the same is shown elsewhere."""
        for step in migrations():
            if step.version > self._version():
                script = [(sql, ()) for sql in statements(step.script)]
                self.ask("statements", statements=script).result(_ANSWER_S)

    def _version(self) -> int:
        try:
            outcome = self.ask("statements", statements=[("SELECT version FROM schema_version", ())])
            version: int = outcome.result(_ANSWER_S)["rows"][0][0][0]
        except StorageUnavailable:
            return 0  # nothing was ever applied
        return version

    def _listen(self) -> None:
        for line in self._from:
            outcome = json.loads(line)
            answer = self._pending.pop(outcome["id"])
            if "error" in outcome:
                answer.set_exception(StorageUnavailable(outcome["error"]))
            else:
                answer.set_result(outcome)
        for answer in self._pending.values():
            answer.set_exception(StorageUnavailable("The process has ended."))

    def close(self) -> None:
        """It ends by itself then."""
        self._to.close()
        self._listener.join()


@contextmanager
def open_workers(
    folder: Path,
    configuration: str,
    variables: Mapping[str, str],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    log: IO[str] | int | None = None,
    others: Mapping[str, str] = _NO_OTHERS,
    catalog: str = "",
) -> Iterator[Edge]:
    """All Workers, with what `folder` keeps of D1 and KV. `log`: for what they print.

    `others`: modules of Workers besides, by their paths.
    """
    toolbox.prepare()
    workers = {f"worker_{worker.name}": worker for worker in all_workers()}
    stage(folder / "bundle", workers, configuration, catalog)
    plan = folder / "plan.json"
    plan.write_text(json.dumps(_plan(folder, workers, others, variables) | {"host": host, "port": port}))
    command = [str(toolbox.node()), "serve.mjs", str(plan)]
    env = os.environ | {"CI": "1", "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=toolbox.EDGE, env=env, stdin=pipe, stdout=pipe, stderr=log, text=True
    ) as process:
        edge = Edge(process)
        try:
            yield edge
        finally:
            edge.close()


def _plan(
    folder: Path,
    workers: Mapping[str, Worker],
    others: Mapping[str, str],
    variables: Mapping[str, str],
) -> dict[str, object]:
    ours = [
        {"name": worker.name, "module": module, "paths": worker.paths} for module, worker in workers.items()
    ]
    folders = {
        "bundle": str(folder / "bundle"),
        "tests/edge/inside": "tests/edge/inside",
    }
    return {
        "folders": folders,
        "variables": dict(variables),
        "workers": [
            *ours,
            *({"name": path, "module": module, "paths": [path]} for path, module in others.items()),
        ],
        "fallback": "health",
        "compatibilityDate": COMPATIBILITY_DATE,
        "databaseId": "local",
        "state": str(folder / "state"),
    }
