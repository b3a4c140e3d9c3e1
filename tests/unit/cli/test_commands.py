"""What holds for all commands: where they are found, what they import, how they are described."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from common import __version__
from common.cli.lazy import LazyGroup
from common.cli.root import sluice
from common.targets.registry import FUNCTIONS, JOBS, function_of, job_of


def commands(group: click.Group = sluice, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, as the words after `sluice`."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        assert command.name == name
        if isinstance(command, LazyGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("words", [pytest.param(each, id=" ".join(("sluice", *each))) for each in commands()])
def test_help(words: tuple[str, ...]) -> None:
    """Each command and group describes itself."""
    result = CliRunner().invoke(sluice, [*words, "--help"], prog_name="sluice")
    assert result.exit_code == 0
    assert result.stdout.startswith(" ".join(("Usage: sluice", *words)))


def test_version() -> None:
    """`--version` names the program and its version."""
    assert CliRunner().invoke(sluice, ["--version"]).stdout == f"sluice {__version__}\n"


@pytest.mark.parametrize(
    "words", [["nonsense"], ["keys", "nonsense"], ["keys", "described"], ["users", "described"]]
)
def test_unknown(words: list[str]) -> None:
    """What is no command is used wrongly, modules that commands share among it."""
    result = CliRunner().invoke(sluice, words)
    assert result.exit_code == 2
    assert "No such command" in result.stderr


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_called_like_their_modules(name: str) -> None:
    """What `--function` takes is the name that the function has everywhere."""
    assert function_of(name).name == name


@pytest.mark.parametrize("name", JOBS)
def test_jobs_are_called_like_their_modules(name: str) -> None:
    """What `sluice jobs run` takes is the name that the job has everywhere."""
    assert job_of(name).name == name


def test_the_list_of_jobs_is_whole() -> None:
    """A module of `functions` is in the list exactly if it exports a job."""
    modules = [import_module(f"functions.{name}") for name in (*FUNCTIONS, *JOBS)]
    exported = {module.__name__.removeprefix("functions.") for module in modules if hasattr(module, "job")}
    assert exported == set(JOBS)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--help"], id="help"),
        pytest.param(["keys", "create", "--user", "ada"], id="keys create"),
        pytest.param(["users", "set", "ada", "--max-parallel", "2"], id="users set"),
        pytest.param(["config", "check"], id="config check"),
    ],
)
def test_imports(tmp_path: Path, words: list[str]) -> None:
    """Commands that serve nothing do without the web framework, the server, and what draws on terminals."""
    script = (
        "import sys\nfrom common.cli import main\n"
        f"sys.argv = {['sluice', *words]!r}\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'fastapi', 'starlette', 'granian', 'uvloop', 'rich', 'xllamacpp'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
