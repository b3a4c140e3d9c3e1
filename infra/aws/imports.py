"""How long a function's package takes to start, in CPU time, beside the import of FastAPI alone from the same package.

Wheels of Lambda's processor do not load on another, so this machine's own stand beside them.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FLOOR: Final = "import fastapi"
_ROUNDS: Final = 7
_PROGRAM: Final = """
import sys, time
sys.path[:0] = sys.argv[1:2]
import gc
gc.disable()
started = time.process_time()
exec(sys.argv[2])
print((time.process_time() - started) * 1000)
"""


def start_of(function: str) -> str:
    """What a function's process runs until its handler is there: `common.targets.aws.__main__`."""
    return (
        "from common.targets.aws import compiled; compiled.use(); from common.targets.aws import bootstrap;"
        f" bootstrap.load('common.targets.aws.entry.{function}')"
    )


def start_ms(python: str, package: Path, variables: Mapping[str, str], program: str) -> float:
    """The least of several fresh processes."""
    command = [python, "-s", "-P", "-c", _PROGRAM, str(package), program]
    return min(
        float(subprocess.run(command, capture_output=True, text=True, check=True, env=dict(variables)).stdout)
        for _ in range(_ROUNDS)
    )
