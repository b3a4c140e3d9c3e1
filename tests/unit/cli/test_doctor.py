"""`sluice doctor`: configuration, storage and plans. `tests/functions/test_doctor.py` has the providers."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from common.adapters.sql.keys import SqlKeyStore
from common.cli.doctor.providers import find_skew
from common.cli.root import sluice
from common.model.errors import StorageUnavailable
from common.model.ids import KeyId, UserId
from common.model.principal import KeyRecord, UserRecord
from common.providers.examination import State
from common.settings import parse_settings
from common.targets.examination import find_plans
from common.targets.local import DATABASE

NOTHING: Final = "[plans.standard]\n"
PLANS: Final = parse_settings('[plans.standard]\n[plans."big one"]\n', {})


def doctor(folder: Path, text: str, *options: str, data: str = "data") -> Result:
    """The command, with this configuration."""
    config = folder / "sluice.toml"
    config.write_text(text)
    words = ["doctor", "--config", str(config), "--data", str(folder / data), *options]
    return CliRunner().invoke(sluice, words, catch_exceptions=False, env={"KEY": None})


def told(result: Result) -> list[dict[str, Any]]:
    """Its checks, in their order."""
    document = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert document["ok"] == (result.exit_code == 0)
    found: list[dict[str, Any]] = document["checks"]
    return found


def create(folder: Path, *words: str) -> None:
    """Run `sluice` on the folder's data."""
    arguments = [*words, "--data", str(folder / "data"), "--config", str(folder / "sluice.toml")]
    assert CliRunner().invoke(sluice, arguments, catch_exceptions=False).exit_code == 0


# -- configuration


def test_every_mistake_is_a_line(tmp_path: Path) -> None:
    """All mistakes are told with their places; the storage is looked at all the same, providers are not."""
    text = '[models.a]\ntargets = ["nowhere/a"]\n[models.b]\ntargets = ["a"]\n'
    found = told(doctor(tmp_path, text, "--json"))
    assert [(check["check"], check["state"]) for check in found] == [
        ("configuration", "failed"),
        ("configuration", "failed"),
        ("storage", "ok"),
    ]
    assert 'models."a".targets.0: no provider "nowhere"' in found[0]["said"]
    assert "docs/configuration.md" in found[0]["advice"]


def test_variable_that_is_not_set(tmp_path: Path) -> None:
    """The variable is named, and that `.env` is not read by `sluice` itself."""
    result = doctor(tmp_path, '[providers.main]\nkind = "openrouter"\napi_key = "env:KEY"\n')
    assert result.exit_code == 1
    assert "✗ configuration  " in result.stdout
    assert "expected the variable KEY to be set\n" in result.stdout
    assert "→ Set it. What stands in .env is read by `make run`" in result.stdout


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that is named has to exist."""
    words = ["doctor", "--config", str(tmp_path / "none.toml"), "--data", str(tmp_path), "--json"]
    found = told(CliRunner().invoke(sluice, words))
    assert "cannot be read" in found[0]["said"]


def test_terminals_without_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where marks cannot be shown, letters stand for them, in columns all the same."""
    config = tmp_path / "sluice.toml"
    config.write_text('[models.a]\ntargets = ["nowhere/a"]\n')
    words = ["doctor", "--config", str(config), "--data", str(tmp_path / "data")]
    result = CliRunner(charset="ascii").invoke(sluice, words, catch_exceptions=False)
    lines = result.stdout.splitlines()
    assert result.stdout.isascii()
    assert [line[:18] for line in lines[:3]] == ["!! configuration  ", " " * 18, "ok storage        "]
    assert lines[1][18:].startswith("-> Mend it")


# -- storage


def test_database_that_can_be_written(tmp_path: Path) -> None:
    """It is opened, brought up to date and written to; nothing has changed by that."""
    (tmp_path / "sluice.toml").write_text(NOTHING)
    create(tmp_path, "keys", "create", "--user", "alice", "--plan", "standard")
    create(tmp_path, "users", "set", "alice", "--plan", "standard")
    found = told(doctor(tmp_path, NOTHING, "--json"))
    assert [(check["check"], check["state"], check["said"]) for check in found[1:]] == [
        ("storage", "ok", f"{tmp_path / 'data' / DATABASE} can be written."),
        ("plans", "ok", "All plans of 1 key and 1 user with limits are configured."),
    ]


def test_no_database_is_made(tmp_path: Path) -> None:
    """Whoever only looks leaves no folder behind."""
    found = told(doctor(tmp_path, NOTHING, "--json"))
    assert (found[1]["state"], found[1]["said"]) == (
        "ok",
        f"There is no database in {tmp_path / 'data'} yet: `sluice serve` makes one.",
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("sluice.toml", "sluice.toml is not a folder that can be written"),
        ("sluice.toml/below", "sluice.toml is not a folder that can be written"),
        ("full", "is not a database, or is damaged: restore it, move it away, or choose another folder."),
    ],
)
def test_folders_that_are_none(tmp_path: Path, data: str, said: str) -> None:
    """A file where a folder should be, and a database that is none, fail, with what to do; the status is 1."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / DATABASE).write_bytes(b"not a database, by far" * 100)
    found = told(doctor(tmp_path, NOTHING, "--json", data=data))
    assert found[1]["state"] == "failed"
    assert said in found[1]["said"]


def test_database_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that opens, and then takes nothing, fails with what to look for."""

    async def fails(_store: SqlKeyStore, _key_id: KeyId, _at_ms: int) -> None:
        raise StorageUnavailable("The database failed.")

    (tmp_path / "sluice.toml").write_text(NOTHING)
    create(tmp_path, "keys", "create", "--user", "alice")
    monkeypatch.setattr(SqlKeyStore, "note_use", fails)
    found = told(doctor(tmp_path, NOTHING, "--json"))
    assert [(check["check"], check["state"]) for check in found[1:]] == [("storage", "failed")]
    assert found[1]["said"] == "The database failed."
    assert f"Can {tmp_path / 'data' / DATABASE} be written" in found[1]["advice"]


# -- plans


def key(number: int, plan: str) -> KeyRecord:
    """One of alice's."""
    return KeyRecord(KeyId(f"key_{number}"), b"", UserId("alice"), "", frozenset(), number, plan=plan)


@pytest.mark.parametrize(
    ("plans", "users", "state", "said"),
    [
        ([], [], State.OK, "All plans of 0 keys and 0 users with limits are configured."),
        (["standard", "", "big one"], [""], State.OK, "All plans of 3 keys and 1 user with limits"),
        (
            ["gold"],
            [],
            State.FAILED,
            "Plans that are not configured: key key_0 (gold). Their requests are refused.",
        ),
        (["", "standard"], ["gold"], State.FAILED, "not configured: user user_0 (gold)."),
        (["x"] * 5, [], State.FAILED, "key key_0 (x), key key_1 (x), key key_2 (x) and 2 more."),
    ],
)
def test_plans(plans: list[str], users: list[str], state: State, said: str) -> None:
    """Every plan that a key or a user has should be there, for whoever has one that is not is refused."""
    holders = [UserRecord(UserId(f"user_{number}"), 0, plan) for number, plan in enumerate(users)]
    finding = find_plans([key(number, plan) for number, plan in enumerate(plans)], holders, PLANS)
    assert (finding.state, bool(finding.advice)) == (state, state is State.FAILED)
    assert said in finding.said


def test_what_to_do_about_plans() -> None:
    """Each plan is named once, as it would be written."""
    finding = find_plans([key(1, "gold"), key(2, "gold"), key(3, "a b")], [], PLANS)
    assert finding.advice.startswith('Configure [plans.gold] and [plans."a b"], or give other plans')


# -- clock


@pytest.mark.parametrize(
    ("ahead_s", "state", "said"),
    [
        (0.0, State.OK, "to the minute"),
        (60.0, State.OK, "to the minute"),
        (60.1, State.FAILED, "It is 60 s ahead of the providers'."),
        (-90_000.0, State.FAILED, "It is 90,000 s behind the providers'."),
    ],
)
def test_skew(ahead_s: float, state: State, said: str) -> None:
    """Up to a minute is as good as right: answers take their time."""
    finding = find_skew(ahead_s)
    assert finding.state is state
    assert said in finding.said
    assert set(asdict(finding)) == {"state", "said", "advice"}
