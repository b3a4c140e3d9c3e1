"""A client from npm in a process of its own: it plays one scenario after another, and tells what it saw."""

import asyncio
import json
import subprocess
import threading
from typing import Any, Final

from tests.e2e.client import Task
from tests.edge.toolbox import REPOSITORY, node, prepare

PATIENCE_S: Final = 20.0  # more than a scenario has there


class NodeClient:
    """`name`: the module in `clients/`. The process lives until `close`, whatever event loops come and go."""

    def __init__(self, name: str) -> None:
        prepare()
        self._process = subprocess.Popen(
            [str(node()), "driver.mjs", name],
            cwd=REPOSITORY / "tests/e2e",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def play(self, scenario: str, task: Task) -> dict[str, Any]:
        """Play it to its end; what was seen."""
        self._tell({"scenario": scenario, **task.as_json()})
        seen: dict[str, Any] = json.loads(await asyncio.to_thread(self._line))
        return seen

    def abort(self) -> None:
        """Let the client give up what it is doing."""
        self._tell({"abort": True})

    def close(self) -> None:
        """End the process."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.kill()

    def _tell(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(what)}\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        """A thread that reads cannot be cancelled: the process it reads from can be ended."""
        assert self._process.stdout is not None
        late = threading.Timer(PATIENCE_S, self._process.kill)
        late.start()
        try:
            return self._process.stdout.readline()
        finally:
            late.cancel()
