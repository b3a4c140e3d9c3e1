"""How long it takes to import what a package brings, in CPU time, beside FastAPI alone from the same package.

Wheels of Lambda's processor do not load on another, so this machine's own stand beside them.
"""

import subprocess
from pathlib import Path
from typing import Final

FLOOR: Final = "fastapi"
_ROUNDS: Final = 5
# as the bootstrap does it: without collecting garbage, and with the handler's modules
_PROGRAM: Final = """
import sys, time
sys.path[:0] = sys.argv[1:2]
import gc, importlib
gc.disable()
started = time.process_time()
for name in sys.argv[2:]:
    importlib.import_module(name)
print((time.process_time() - started) * 1000)
"""


def modules_of(function: str) -> tuple[str, ...]:
    """What a function's process imports before it can serve."""
    return ("common.targets.aws.bootstrap", "common.targets.aws.entry", f"functions.{function}")


def import_ms(python: str, package: Path, *modules: str) -> float:
    """The least of several fresh processes."""
    command = [python, "-I", "-c", _PROGRAM, str(package), *modules]
    return min(
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(_ROUNDS)
    )
