"""What `import functions.X` costs at the start of a deployed function: each module in a fresh interpreter."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
MODULES: Final = sorted(path.stem for path in (REPOSITORY / "functions").glob("[!_]*.py"))

# by the names that they are imported by
NEVER: Final = {
    "cloud SDKs": {"boto3", "botocore", "aws_lambda_powertools", "mangum", "pynamodb", "workers"},
    "analytics": {"posthog"},
    "HTTP clients": {"aiohttp", "httptools", "httpx", "httpx2", "pyreqwest", "requests", "urllib3"},
    "the model and the local server": {"granian", "uvicorn", "uvloop", "xllamacpp"},
    "the command line": {"click", "rich", "typer"},
}

OPTIONAL: Final = {"sniffio"}  # anyio looks for it, and goes on without
PROGRAM: Final = """
import sys
before = set(sys.modules)  # what `.pth` files have loaded
sys.path.insert(0, sys.argv[2])
import fastapi, importlib, json
from importlib.metadata import packages_distributions

made = []
original = fastapi.FastAPI.__init__
def init(self, *args, **kwargs):
    made.append(type(self).__name__)
    original(self, *args, **kwargs)
fastapi.FastAPI.__init__ = init

importlib.import_module(sys.argv[1])
packages = sorted({name.partition(".")[0] for name in sys.modules.keys() - before})
distributions = packages_distributions()
names = sorted({name for package in packages for name in distributions.get(package, ())})
print(json.dumps([packages, names, made]))
"""


class Loaded(NamedTuple):
    """What there is once the module is imported."""

    packages: list[str]
    distributions: list[str]
    applications: list[str]


@cache
def load(module: str) -> Loaded:
    """Import `module` in an interpreter that has imported nothing else."""
    command = [sys.executable, "-I", "-c", PROGRAM, module, str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Loaded(*json.loads(done.stdout))


@pytest.mark.parametrize("kind", NEVER)
@pytest.mark.parametrize("module", MODULES)
def test_import_leaves_out(module: str, kind: str) -> None:
    """A function that starts loads no cloud SDK, no HTTP client, no server, no command line and no model."""
    assert NEVER[kind].isdisjoint(load(f"functions.{module}").packages)


@pytest.mark.parametrize("module", MODULES)
def test_import_needs_the_runtime_set_alone(module: str) -> None:
    """Of what is installed, a function loads only what the lock of the runtime names: that is on every target."""
    lock = (REPOSITORY / "infra/requirements/runtime.txt").read_text()
    locked = {_normal(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    assert {_normal(name) for name in load(f"functions.{module}").distributions} <= locked | OPTIONAL | {
        "sluice"
    }


@pytest.mark.parametrize("module", MODULES)
def test_import_makes_no_application(module: str) -> None:
    """Importing a function makes no `FastAPI`: a target makes one, once, of all that it serves."""
    assert load(f"functions.{module}").applications == []


def test_the_look_is_awake() -> None:
    """A module that does load an HTTP parser is seen to do so."""
    loaded = load("common.adapters.upstream.pooled")
    assert ("httptools" in loaded.packages, "httptools" in loaded.distributions) == (True, True)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
