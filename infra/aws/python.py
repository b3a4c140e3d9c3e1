"""Lambda's version of Python on this machine: what makes bytecode, and what the time to import is measured on."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

VERSION: Final = "3.13"
TAG: Final = f"cpython-{VERSION.replace('.', '')}"
_IS_IT: Final = f"import sys; sys.exit('{VERSION}' != '%d.%d' % sys.version_info[:2])"


def interpreter(named: str | None, environ: Mapping[str, str]) -> str:
    """The one that is named, else the first that is found. `LookupError` where it is not that version."""
    candidates = [named] if named else _candidates(environ)
    for each in candidates:
        try:
            done = subprocess.run([each, "-I", "-c", _IS_IT], capture_output=True, check=False)
        except OSError:
            continue
        if not done.returncode:
            return each
    raise LookupError(
        f"missing: Python {VERSION}, the version that Lambda runs, for the bytecode"
        f" (Debian 13: apt-get install python{VERSION}; elsewhere `pyenv install {VERSION}` or the like)"
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    name = f"python{VERSION}"
    for folder in environ.get("PATH", "").split(os.pathsep):
        yield str(Path(folder, name))
    pyenv = Path(environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{VERSION}.*/bin/{name}")))


def compile_tree(python: str, tree: Path, task_root: str) -> None:
    """Compile a folder, in it; tracebacks tell where things are below `task_root`.

    The bytecode is not checked against the sources: their times in the package say nothing.
    """
    command = [python, "-s", "-P", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(tree), "-p", task_root, str(tree)]
    subprocess.run(
        command,
        check=True,
        env={"PYTHONHASHSEED": "0"},  # else sets of constants are in any order
    )


def bytecode_of(place: str) -> str:
    """Where the interpreter looks for what a source is compiled to."""
    folder, slash, name = place.rpartition("/")
    return f"{folder}{slash}__pycache__/{name.removesuffix('.py')}.{TAG}.pyc"
