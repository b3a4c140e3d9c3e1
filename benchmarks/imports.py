"""How long an import takes: the least of many runs, each in a fresh interpreter, the modules in turn."""

import subprocess
import sys
from typing import Final

from benchmarks.process import ROOT, Cores, on_core

BASE: Final = "fastapi"
MODULES: Final = (
    BASE,
    "functions.chat_completions",
    "functions.health",
    "functions.models",
    "common.targets.aws.entry",
)
RUNS: Final = 15

# -I keeps variables and the current folder out, so the repository is named. The clock runs inside.
PROGRAM: Final = """
import sys, time
sys.path.insert(0, sys.argv[1])
began = time.perf_counter()
__import__(sys.argv[2])
print(time.perf_counter() - began)
"""


def measure(cores: Cores) -> dict[str, float | str]:
    """Milliseconds by module, or why it can't be imported."""
    for module in MODULES:
        _once(module, cores)  # leaves the bytecode behind
    runs = [{module: _once(module, cores) for module in MODULES} for _ in range(RUNS)]
    return {module: _least([run[module] for run in runs]) for module in MODULES}


def _least(took: list[float | str]) -> float | str:
    problems = [each for each in took if isinstance(each, str)]
    return problems[0] if problems else min(each for each in took if isinstance(each, float))


def _once(module: str, cores: Cores) -> float | str:
    command = [sys.executable, "-I", "-c", PROGRAM, str(ROOT), module]
    with on_core(cores.gateway):
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        return finished.stderr.strip().splitlines()[-1]
    return float(finished.stdout) * 1e3
