"""`sluice keys`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from common.access.api_key import hash_key, is_well_formed
from common.adapters.clock import SystemClock
from common.adapters.memory import MemoryKeyStore
from common.cli.new_key import create_key
from common.cli.root import sluice
from common.model.ids import UserId
from common.model.principal import DEFAULT_PERMISSIONS


class Keys:
    """The commands on one data folder."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def run(self, *words: str) -> Result:
        """Run `sluice keys`."""
        return CliRunner().invoke(sluice, ["keys", *words, "--data", str(self._data)])

    def json(self, *words: str) -> Any:
        """Run it with `--json`; the one line it prints."""
        result = self.run(*words, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        (line,) = result.stdout.splitlines()
        return json.loads(line)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Without a key."""
    return Keys(tmp_path / "data")


# -- create ------------------------------------------------------------------------------------------------------------


async def test_new_key() -> None:
    """A new key is well-formed, and the store finds it by its hash, made just now, with what was asked for."""
    store, clock = MemoryKeyStore(), SystemClock()
    before = clock.now_ms()
    created = await create_key(store, UserId("ada"), "laptop", frozenset({"models"}))
    record = await store.find(hash_key(created.key))
    assert is_well_formed(created.key)
    assert record == created.record
    assert (record.user, record.name) == ("ada", "laptop")
    assert record.permissions == {"models"}
    assert before <= record.created_ms <= clock.now_ms()


async def test_new_key_does_not_print() -> None:
    """The text of a key stays out of logs and traces."""
    created = await create_key(MemoryKeyStore(), UserId("ada"), "", DEFAULT_PERMISSIONS)
    assert created.key not in repr(created)


def test_create(keys: Keys) -> None:
    """For people, the key stands on a line of its own, and then that this is the only time."""
    result = keys.run("create", "--user", "ada", "--name", "laptop")
    key, notice, *facts = result.stdout.splitlines()
    assert is_well_formed(key)
    assert notice == "Keep it now: it is not shown again."
    (listed,) = keys.json("list")
    assert facts == [
        "",
        f"Id       {listed['id']}",
        "User     ada",
        "Name     laptop",
        "May use  chat, models",
    ]


def test_create_json(keys: Keys) -> None:
    """For scripts, one object has the key and all that is known of it."""
    created = keys.json("create", "--user", "ada")
    assert is_well_formed(created.pop("key"))
    assert created.keys() == {"id", "user", "name", "permissions", "created_ms"}
    assert (created["user"], created["name"], created["permissions"]) == ("ada", "", ["chat", "models"])
    assert keys.json("list") == [created]


def test_create_with_permissions(keys: Keys) -> None:
    """A key may do only what was named."""
    created = keys.json("create", "--user", "ada", "--permission", "models", "--permission", "models")
    assert created["permissions"] == ["models"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="no user"),
        pytest.param(["--user", ""], id="empty user"),
        pytest.param(["--user", " "], id="blank user"),
        pytest.param(["--user", "u" * 129], id="long user"),
        pytest.param(["--user", "a\nb"], id="user with a line break"),
        pytest.param(["--user", "a\x1b[31m"], id="user with an escape"),
        pytest.param(["--user", "a\udcff"], id="user that is not text"),
        pytest.param(["--user", "ada", "--name", "n" * 129], id="long name"),
        pytest.param(["--user", "ada", "--name", "\t"], id="name with a tab"),
        pytest.param(["--user", "ada", "--permission", "fly"], id="unknown permission"),
    ],
)
def test_create_used_wrongly(keys: Keys, words: list[str]) -> None:
    """Names are bounded and printable, permissions are known ones: else the status is 2, and no key is made."""
    result = keys.run("create", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert keys.json("list") == []


@pytest.mark.parametrize("name", ["u" * 128, "o'hara", "Ærø 🚪", "-"])
def test_create_takes_any_printable_name(keys: Keys, name: str) -> None:
    """Up to 128 characters, of any script."""
    assert keys.json("create", "--user", name, "--name", name)["user"] == name


# -- list --------------------------------------------------------------------------------------------------------------


def test_list(keys: Keys) -> None:
    """Keys stand in columns, oldest first; a user's can be asked for alone."""
    for user, name in (("ada", "laptop"), ("grace", ""), ("ada", "phone")):
        keys.run("create", "--user", user, "--name", name) if name else keys.run("create", "--user", user)
    head, *rows = keys.run("list").stdout.splitlines()
    assert head.split("  ")[0] == "ID"
    assert [row[head.index("USER") :].split()[0] for row in rows] == ["ada", "grace", "ada"]
    assert {row[head.index("MAY USE") :][:12] for row in rows} == {"chat, models"}
    assert [each["name"] for each in keys.json("list", "--user", "ada")] == ["laptop", "phone"]


def test_list_of_nothing(keys: Keys) -> None:
    """Where there is no key, that is said; in JSON it is an empty list."""
    assert keys.run("list").stdout == "No keys.\n"
    assert keys.json("list") == []


# -- delete ------------------------------------------------------------------------------------------------------------


def test_delete(keys: Keys) -> None:
    """A deleted key is gone from the store; that running gateways remember it for a minute is said."""
    first, second = (keys.json("create", "--user", "ada")["id"] for _ in range(2))
    result = keys.run("delete", first)
    assert result.exit_code == 0
    assert "up to 60 s more" in result.stdout
    assert keys.json("delete", second) == {"id": second, "deleted": True}
    assert keys.json("list") == []


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_delete_of_an_unknown_key(keys: Keys, flags: list[str]) -> None:
    """One line says that there is none, and how to see which there are."""
    result = keys.run("delete", "key_none", *flags)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no key 'key_none': `sluice keys list` shows those there are.\n"


# -- storage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["create", "--user", "ada"], ["list"], ["delete", "key_none"]])
def test_unusable_data_folder(tmp_path: Path, words: list[str]) -> None:
    """A folder that cannot be used is told in one line."""
    (tmp_path / "file").touch()
    result = Keys(tmp_path / "file" / "data").run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {tmp_path / 'file' / 'data'} cannot be used as a folder")
