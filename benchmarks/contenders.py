"""Who is measured: how each is prepared and started, and what a client needs to reach it."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import answers
from benchmarks.process import ROOT, BenchmarkError

FLOOR: Final = "floor"
SLUICE: Final = "sluice"
DATABASE: Final = "sluice.db"
UPSTREAM: Final = "upstream"  # asked without anything between, for the latency that is added

CONFIGURATION: Final = """\
[providers.mock]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "env:BENCH_UPSTREAM_KEY"

[models.{model}]
targets = ["mock/{model}"]
price = {{ input = "0.15", output = "0.60" }}
context_length = 128_000
"""

LIMITS: Final = (
    *("--requests-per-minute", "1000000000", "--requests-per-day", "1000000000"),
    *("--tokens-per-minute", "1000000000000", "--tokens-per-day", "1000000000000"),
    *(
        "--max-parallel",
        "1000",
        "--budget-day",
        "1000000",
        "--budget-month",
        "1000000",
        "--budget-total",
        "1000000",
    ),
)


@dataclass(frozen=True, slots=True)
class Contender:
    """A gateway that can be started."""

    name: str
    command: Callable[[int], list[str]]  # for the port to listen on
    folder: Path
    key: str | None = None
    metered_key: str | None = None  # one with every limit there is, none of them in the way


def floor(upstream_port: int) -> Contender:
    """The pass-through that everything is a ratio to."""

    def command(port: int) -> list[str]:
        options = ["--port", str(port), "--upstream", str(upstream_port)]
        return [sys.executable, "-m", "benchmarks.floor", *options]

    return Contender(FLOOR, command, ROOT)


def sluice(upstream_port: int, folder: Path) -> Contender:
    """Sluice as a user starts it: a key is asked for, every request leaves a usage record.

    The metered key and its user both have every limit, so each request writes two rows before it is sent.
    """
    executable = Path(sys.executable).with_name("sluice")
    if not executable.exists():
        problem = "`sluice` is not installed beside this Python: run `make install` first"
        raise BenchmarkError(problem)
    configuration = CONFIGURATION.format(port=upstream_port, model=answers.MODEL)
    (folder / "sluice.toml").write_text(configuration)
    common = ["env", "BENCH_UPSTREAM_KEY=bench", str(executable)]
    data = ["--data", str(folder / "data")]

    def command(port: int) -> list[str]:
        return [*common, "serve", "--port", str(port), *data]

    create = [*common, "keys", "create", *data]
    plain = _run([*create, "--user", "bench"], folder)["key"]
    _run([*common, "users", "set", "metered", *LIMITS, *data], folder)
    metered = _run([*create, "--user", "metered", *LIMITS], folder)["key"]
    return Contender(SLUICE, command, folder, plain, metered)


def _run(command: list[str], folder: Path) -> dict[str, str]:
    finished = subprocess.run([*command, "--json"], cwd=folder, capture_output=True, text=True, check=False)
    if finished.returncode:
        problem = f"`{' '.join(command[3:6])}` failed: {finished.stderr.strip()}"
        raise BenchmarkError(problem)
    found: dict[str, str] = json.loads(finished.stdout)
    return found


def count_records(folder: Path) -> int:
    """How many usage records Sluice keeps in the folder it was prepared in."""
    with closing(sqlite3.connect(folder / "data" / DATABASE)) as database:
        return int(database.execute("SELECT count(*) FROM usage").fetchone()[0])
