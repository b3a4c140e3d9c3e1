"""`Database` on the real D1 (workerd's own), which a Node process of ours holds: see `tests/edge/d1.mjs`."""

import asyncio
import itertools
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.adapters.sql.database import Rows, Statement
from common.adapters.sql.migrations import FOLDER
from common.model.errors import StorageUnavailable
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
        self._pending: dict[int, Future[list[Rows]]] = {}
        self.rows_written = 0  # as D1 would bill them
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    async def run(self, *statements: Statement) -> Sequence[Rows]:
        """See `Database.run`."""
        return await asyncio.wrap_future(self.submit(*statements))

    def submit(self, *statements: Statement) -> Future[list[Rows]]:
        """`run`, for who has no event loop."""
        batch = [(statement.sql, statement.parameters) for statement in statements]
        answer: Future[list[Rows]] = Future()
        self._pending[number := next(self._ids)] = answer
        self._to.write(f"{json.dumps({'id': number, 'statements': batch})}\n")
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
            answer.set_result([[tuple(row) for row in rows] for rows in outcome["rows"]])

    def close(self) -> None:
        """Let the process finish what it was asked; it ends by itself then."""
        self._to.close()
        self._listener.join()
