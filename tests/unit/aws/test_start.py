"""How a function's process starts: where modules are found, what is loaded, what is wrong with a package."""

import dataclasses
import json
import marshal
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.settings import SettingsError
from common.targets.aws import compiled
from common.targets.aws.bootstrap import module_path
from common.targets.aws.root import read_settings
from common.targets.registry import FUNCTIONS

REPOSITORY = Path(__file__).parents[3]
LAYERS = [
    f"/opt/python/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages",
    "/opt/python",
]
SETTINGS = """
[providers.one]
kind = "openai"
base_url = "https://llm.example.com/v1"
[models.demo]
targets = ["one/demo"]
"""
VARIABLES = {"SLUICE_TABLE": "sluice", "AWS_REGION": "eu-west-1"}

# by the names that they are imported by; what a command, a test or an operator uses
NEVER = {
    "boto3",
    "botocore",
    "mangum",
    "pynamodb",
    "aws_lambda_powertools",
    "click",
    "granian",
    "httpx",
    "httpx2",
}
PROGRAM = """
import json, os, sys
from common.targets.aws import bootstrap
handler = bootstrap.load(os.environ["_HANDLER"])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize(
    ("environ", "before", "after"),
    [
        pytest.param(
            {"LAMBDA_TASK_ROOT": "/var/task"},
            ["/lib", "/site"],
            ["/var/task", *LAYERS, "/lib", "/site", "/var/runtime"],
            id="as on Lambda",
        ),
        pytest.param(
            {"LAMBDA_TASK_ROOT": "/var/task", "LAMBDA_RUNTIME_DIR": "/runtime"},
            ["/runtime", "/opt/python", "/var/task", "/lib"],
            ["/var/task", *LAYERS, "/lib", "/runtime"],
            id="some of it there",
        ),
    ],
)
def test_module_path(environ: dict[str, str], before: list[str], after: list[str]) -> None:
    """The package comes first, layers second, the managed runtime's own modules last."""
    assert module_path(before, environ) == after


@pytest.mark.parametrize("name", FUNCTIONS)
def test_start_leaves_out(name: str, tmp_path: Path) -> None:
    """A deployed function that starts loads no cloud SDK, no command line, no server, and nothing of Mangum."""
    (tmp_path / "sluice.toml").write_text(SETTINGS)
    handler = {"_HANDLER": f"common.targets.aws.entry.{name}", "LAMBDA_TASK_ROOT": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=REPOSITORY,
        env=os.environ | VARIABLES | handler,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout))
    assert "fastapi" in loaded
    assert NEVER & loaded == set()


def test_settings_of_the_package(tmp_path: Path) -> None:
    """A function takes the file of its package."""
    (tmp_path / "sluice.toml").write_text(SETTINGS)
    assert list(read_settings(tmp_path, VARIABLES).models) == ["demo"]


@pytest.mark.parametrize(
    ("text", "variables", "mistakes"),
    [
        pytest.param(None, VARIABLES, ["cannot be read from the function's package"], id="no file"),
        pytest.param(SETTINGS, {}, ["SLUICE_TABLE", "AWS_REGION"], id="no variables"),
        pytest.param(None, {}, ["cannot be read", "SLUICE_TABLE", "AWS_REGION"], id="neither"),
        pytest.param(
            "x = 1", {"AWS_REGION": "x"}, ["not a known section", "SLUICE_TABLE"], id="a wrong file"
        ),
        pytest.param(
            '[providers.e]\nkind = "embedded"', VARIABLES, ["for one machine only"], id="the embedded model"
        ),
    ],
)
def test_mistakes(text: str | None, variables: dict[str, str], mistakes: list[str], tmp_path: Path) -> None:
    """All that is wrong with the package and the variables is told together."""
    if text is not None:
        (tmp_path / "sluice.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_settings(tmp_path, variables)
    told = [str(each) for each in caught.value.mistakes]
    assert len(told) == len(mistakes)
    assert all(word in line for word, line in zip(mistakes, told, strict=True))


def test_classes_that_are_compiled_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code is taken by its text; other text, and any where there is no file, is compiled as ever."""
    seen: list[object] = []

    def run(code: object, names: dict[str, object], made: dict[str, object]) -> None:
        seen.append(code)

    monkeypatch.setattr(compiled, "exec", run, raising=False)
    monkeypatch.setitem(vars(dataclasses), "exec", exec)  # is taken away again
    compiled.use(tmp_path / "absent")
    assert vars(dataclasses)["exec"] is exec
    code = compile("made = 1", "<string>", "exec")
    (tmp_path / "codes").write_bytes(marshal.dumps({"one": code}))
    compiled.use(tmp_path / "codes")
    for text in ("one", "two"):
        vars(dataclasses)["exec"](text, {}, {})
    assert seen == [code, "two"]
