"""The code of a package's dataclasses, compiled by Lambda's version of Python: see `common.targets.aws.compiled`."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from common.targets.aws.compiled import PLACE
from infra.aws.python import TAG

COMPILED: Final = PLACE.format(tag=TAG)
_PROGRAM: Final = """
import dataclasses, marshal, sys
from importlib import import_module
from pathlib import Path

codes = {}

def run(text, names, made):
    codes[text] = compile(text, "<string>", "exec")
    exec(codes[text], names, made)

sys.path[:0] = sys.argv[1:2]
dataclasses.exec = run
for name in sys.argv[3:]:
    import_module(name)
Path(sys.argv[2]).write_bytes(marshal.dumps(codes))
"""


def compile_classes(python: str, tree: Path, modules: Iterable[str]) -> None:
    """Import modules of a folder that this machine can load, and leave in it what their classes were compiled to."""
    command = [python, "-s", "-P", "-B", "-c", _PROGRAM, str(tree), str(tree / COMPILED), *modules]
    subprocess.run(command, check=True, env={"PYTHONHASHSEED": "0"})  # see `compile_tree`
