"""What commands do where the data folder is not as they need it."""

from pathlib import Path

import pytest

from tests.unit.cli.commands import Commands


@pytest.mark.parametrize(
    ("group", "words"),
    [
        pytest.param("keys", ["create", "--user", "ada"], id="keys create"),
        pytest.param("users", ["set", "ada", "--max-parallel", "2"], id="users set"),
    ],
)
def test_unusable_data_folder(tmp_path: Path, group: str, words: list[str]) -> None:
    """A folder that cannot be used is told in one line."""
    (tmp_path / "file").touch()
    result = Commands(tmp_path / "file" / "data", group).run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {tmp_path / 'file' / 'data'} cannot be used as a folder")


READING = [
    pytest.param("keys", ["list"], id="keys list"),
    *(
        pytest.param("keys", [name, "key_none"], id=f"keys {name}")
        for name in ("delete", "show", "rotate", "disable", "enable")
    ),
    pytest.param("users", ["list"], id="users list"),
    pytest.param("users", ["show", "ada"], id="users show"),
]


@pytest.mark.parametrize("folder", ["mistyped", "file/data"])
@pytest.mark.parametrize(("group", "words"), READING)
def test_no_database(tmp_path: Path, group: str, words: list[str], folder: str) -> None:
    """A command that only reads makes no database where a folder was mistyped: one line says that there is none."""
    (tmp_path / "file").touch()
    data = tmp_path / folder
    result = Commands(data, group).run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: There is no database in {data}: name its folder with --data,"
        " or make one with `sluice keys create`.\n"
    )
    assert not data.exists()


@pytest.mark.parametrize(("group", "words"), READING)
def test_damaged_database(tmp_path: Path, group: str, words: list[str]) -> None:
    """A database that is there and cannot be used is another matter."""
    (tmp_path / "sluice.db").write_text("not a database, and longer than the header of one " * 4)
    result = Commands(tmp_path, group).run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {tmp_path / 'sluice.db'} is not a database")
