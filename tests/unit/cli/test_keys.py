"""`sluice keys`."""

import re
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest

from common.access.api_key import hash_key, is_well_formed
from common.adapters.clock import SystemClock
from common.adapters.memory import MemoryKeyStore
from common.cli.new_key import create_key
from common.model.ids import UserId
from common.model.limits import Limit
from common.model.principal import DEFAULT_PERMISSIONS
from tests.unit.cli.commands import Commands

PLANS = """
[providers.a]
kind = "openrouter"
api_key = "env:NOT_SET_HERE"

[plans.standard]
requests_per_minute = 60
[plans.premium]
"""


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Without a key, in a folder whose configuration has plans."""
    (tmp_path / "sluice.toml").write_text(PLANS)
    monkeypatch.chdir(tmp_path)
    return Commands(tmp_path / "data", "keys")


# -- create ------------------------------------------------------------------------------------------------------------


async def test_new_key() -> None:
    """A new key is well-formed, and the store finds it by its hash, made just now, with what was asked for."""
    store, clock = MemoryKeyStore(), SystemClock()
    before = clock.now_ms()
    created = await create_key(
        store,
        UserId("ada"),
        "laptop",
        frozenset({"models"}),
        plan="standard",
        overrides={Limit.MAX_PARALLEL: 2},
    )
    record = await store.find(hash_key(created.key))
    assert is_well_formed(created.key)
    assert record == created.record
    assert (record.user, record.name) == ("ada", "laptop")
    assert (record.plan, record.overrides) == ("standard", {Limit.MAX_PARALLEL: 2})
    assert record.permissions == {"models"}
    assert before <= record.created_ms <= clock.now_ms()


async def test_new_key_does_not_print() -> None:
    """The text of a key stays out of logs and traces."""
    created = await create_key(MemoryKeyStore(), UserId("ada"), "", DEFAULT_PERMISSIONS)
    assert created.key not in repr(created)


def test_create(keys: Commands) -> None:
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
        "May use  chat, models, usage:read",
    ]


def test_create_json(keys: Commands) -> None:
    """For scripts, one object has the key and all that is known of it."""
    created = keys.json("create", "--user", "ada")
    assert is_well_formed(created.pop("key"))
    about = {"id", "user", "name", "permissions", "plan", "limits", "models", "origins", "disabled"}
    assert created.keys() == about | {"expires_ms", "created_ms", "last_used_ms", "grace_until_ms"}
    assert (created["user"], created["name"]) == ("ada", "")
    assert created["permissions"] == ["chat", "models", "usage:read"]
    assert (created["plan"], created["limits"], created["models"], created["origins"]) == ("", {}, [], [])
    assert (created["disabled"], created["expires_ms"], created["last_used_ms"]) == (False, None, None)
    assert keys.json("list") == [created]


def test_create_with_permissions(keys: Commands) -> None:
    """A key may do only what was named."""
    created = keys.json("create", "--user", "ada", "--permission", "models", "--permission", "models")
    assert created["permissions"] == ["models"]


LIMITED = [
    *("--plan", "standard", "--requests-per-minute", "120", "--tokens-per-minute", "unlimited"),
    *("--budget-month", "50", "--budget-total", "unlimited"),
]


def test_create_with_limits(keys: Commands) -> None:
    """A plan and limits of the key's own are told; those that are not given are as in the plan."""
    _, _, *facts = keys.run("create", "--user", "ada", *LIMITED).stdout.splitlines()
    assert facts[3:-1] == [
        "Plan     standard",
        "Limits   120 requests per minute",
        "         unlimited tokens per minute",
        "         50.00 US dollars per UTC month",
        "         unlimited US dollars in total",
    ]


def test_create_with_limits_json(keys: Commands) -> None:
    """For scripts, money is both an integer to compute with and an exact decimal."""
    created = keys.json("create", "--user", "ada", *LIMITED)
    assert created["plan"] == "standard"
    assert created["limits"] == {
        "requests_per_minute": 120,
        "tokens_per_minute": "unlimited",
        "budget_month": {"nanousd": 50 * 10**9, "usd": "50.00"},
        "budget_total": "unlimited",
    }


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param([], "sluice.toml has standard, premium.", id="other plans"),
        pytest.param(
            ["--config", "none.toml"], "none.toml has none. Add a table [plans.NAME].", id="no plans"
        ),
        pytest.param(["--config", "bad.toml"], None, id="mistaken"),
    ],
)
def test_create_with_an_unknown_plan(
    tmp_path: Path, keys: Commands, words: list[str], problem: str | None
) -> None:
    """A plan has to be one of the configuration's: which there are is told, and no key is made."""
    (tmp_path / "none.toml").touch()
    (tmp_path / "bad.toml").write_text("[plans.gold]\nrequests = 1")
    result = keys.run("create", "--user", "ada", "--plan", "gold", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    known = "requests_per_minute, tokens_per_minute"
    mistake = f"Error: bad.toml: plans.gold.requests: not a known key; known: {known}"
    assert result.stderr.startswith(f"Error: There is no plan 'gold': {problem}\n" if problem else mistake)
    assert not (tmp_path / "data").exists()


def test_create_with_a_plan_where_there_is_no_configuration(tmp_path: Path, keys: Commands) -> None:
    """That is said, and how to name the file."""
    (tmp_path / "sluice.toml").unlink()
    result = keys.run("create", "--user", "ada", "--plan", "standard")
    assert result.stderr == (
        "Error: There is no plan 'standard': there is no sluice.toml here. --config names the file that has it.\n"
    )


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
        pytest.param(["--user", "ada", "--models", ""], id="empty pattern"),
        pytest.param(["--user", "ada", "--models", "a\n*"], id="pattern with a line break"),
        pytest.param(["--user", "ada", "--origin", "app.example.com"], id="origin without a scheme"),
        pytest.param(["--user", "ada", "--origin", "https://app.example.com/"], id="origin with a path"),
        pytest.param(["--user", "ada", "--origin", "*"], id="origin of all"),
        pytest.param(["--user", "ada", "--expires", "90"], id="expiry without a unit"),
        pytest.param(["--user", "ada", "--expires", "-1d"], id="expiry in the past"),
        pytest.param(["--user", "ada", "--expires", "40000d"], id="expiry far off"),
        pytest.param(["--user", "ada", "--expires", "never"], id="expiry without an end"),
    ],
)
def test_create_used_wrongly(keys: Commands, words: list[str]) -> None:
    """Names are bounded and printable, permissions are known ones: else the status is 2, and no key is made."""
    result = keys.run("create", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "There is no database" in keys.run("list").stderr


@pytest.mark.parametrize("name", ["u" * 128, "o'hara", "Ærø 🚪", "-"])
def test_create_takes_any_printable_name(keys: Commands, name: str) -> None:
    """Up to 128 characters, of any script."""
    assert keys.json("create", "--user", name, "--name", name)["user"] == name


def test_create_with_bounds(keys: Commands) -> None:
    """Which models, from which pages, how long: told as it was given."""
    words = (
        "--models",
        "gpt-*",
        "--models",
        "a/b",
        "--origin",
        "https://app.example.com",
        "--expires",
        "90d",
    )
    created = keys.json("create", "--user", "ada", *words)
    assert (created["models"], created["origins"]) == (["gpt-*", "a/b"], ["https://app.example.com"])
    assert created["expires_ms"] - created["created_ms"] == 90 * 24 * 3_600_000
    told = keys.run("create", "--user", "ada", *words).stdout.splitlines()
    assert "Models   gpt-*, a/b" in told
    assert "Origins  https://app.example.com" in told
    assert any(re.fullmatch(r"Expires  20\d\d-\d\d-\d\d \d\d:\d\d UTC", line) for line in told)


# -- list --------------------------------------------------------------------------------------------------------------


def test_list(keys: Commands) -> None:
    """Keys stand in columns, oldest first; a user's can be asked for alone."""
    for user, name in (("ada", "laptop"), ("grace", ""), ("ada", "phone")):
        keys.run("create", "--user", user, "--name", name) if name else keys.run("create", "--user", user)
    head, *rows = keys.run("list").stdout.splitlines()
    assert head.split("  ")[0] == "ID"
    assert [row[head.index("USER") :].split()[0] for row in rows] == ["ada", "grace", "ada"]
    assert {row[head.index("MAY USE") :][:12] for row in rows} == {"chat, models"}
    assert [each["name"] for each in keys.json("list", "--user", "ada")] == ["laptop", "phone"]


def test_list_with_limits(keys: Commands) -> None:
    """A limit that some key has of its own is a column; a key that has it from its plan leaves it empty."""
    keys.run("create", "--user", "ada", *LIMITED)
    keys.run("create", "--user", "bob", "--requests-per-minute", "1_000")
    head, first, second = keys.run("list").stdout.splitlines()
    starts = [head.index(word) for word in ("PLAN", "REQ/MIN", "TOK/MIN", "USD/MONTH", "USD TOTAL", "MODELS")]
    cells = [[row[start:end].strip() for start, end in pairwise(starts)] for row in (first, second)]
    assert cells == [["standard", "120", "unlimited", "50.00", "unlimited"], ["", "1,000", "", "", ""]]


def test_list_of_nothing(keys: Commands) -> None:
    """Where there is no key, that is said; in JSON it is an empty list."""
    created = keys.json("create", "--user", "ada")
    keys.run("delete", created["id"])
    assert keys.run("list").stdout == "No keys.\n"
    assert keys.json("list") == []


# -- delete ------------------------------------------------------------------------------------------------------------


def test_delete(keys: Commands) -> None:
    """A deleted key is gone from the store; that running gateways remember it for a minute is said."""
    first, second = (keys.json("create", "--user", "ada")["id"] for _ in range(2))
    result = keys.run("delete", first)
    assert result.exit_code == 0
    assert "up to 60 s more" in result.stdout
    assert keys.json("delete", second) == {"id": second, "deleted": True}
    assert keys.json("list") == []


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_delete_of_an_unknown_key(keys: Commands, flags: list[str]) -> None:
    """One line says that there is none, and how to see which there are."""
    keys.run("create", "--user", "ada")
    result = keys.run("delete", "key_none", *flags)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no key 'key_none': `sluice keys list` shows those there are.\n"


# -- show and set ------------------------------------------------------------------------------------------------------


def test_show(keys: Commands) -> None:
    """All that is known of one key, by its id; not the key."""
    created = keys.json("create", "--user", "ada", "--name", "laptop", "--models", "gpt-*", *LIMITED)
    told = keys.run("show", created["id"]).stdout
    assert told.splitlines()[:4] == [
        f"Id       {created['id']}",
        "User     ada",
        "Name     laptop",
        "Plan     standard",
    ]
    assert "\nState    active\n" in told
    assert told.endswith("Used     never\n")
    assert created.pop("key") not in told
    assert keys.json("show", created["id"]) == created


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        pytest.param(["--name", "phone"], {"name": "phone"}, id="name"),
        pytest.param(["--permission", "models"], {"permissions": ["models"]}, id="permissions"),
        pytest.param(["--plan", "premium"], {"plan": "premium"}, id="plan"),
        pytest.param(["--no-plan"], {"plan": ""}, id="no plan"),
        pytest.param(["--models", "b*", "--models", "c"], {"models": ["b*", "c"]}, id="models"),
        pytest.param(["--all-models"], {"models": []}, id="all models"),
        pytest.param(
            ["--origin", "http://localhost:3000"], {"origins": ["http://localhost:3000"]}, id="origin"
        ),
        pytest.param(["--any-origin"], {"origins": []}, id="any origin"),
        pytest.param(["--expires", "never"], {"expires_ms": None}, id="no end"),
        pytest.param(["--max-parallel", "3"], {"limits": {"max_parallel": 3}}, id="limit"),
        pytest.param(["--max-parallel", "plan"], {"limits": {}}, id="limit as in the plan"),
        pytest.param(
            ["--max-parallel", "unlimited"], {"limits": {"max_parallel": "unlimited"}}, id="no limit"
        ),
    ],
)
def test_set(keys: Commands, words: list[str], changed: dict[str, object]) -> None:
    """What is named changes, all else stays."""
    bounds = ("--models", "a*", "--origin", "https://a.example", "--expires", "1d", "--max-parallel", "2")
    before = keys.json("create", "--user", "ada", "--name", "laptop", "--plan", "standard", *bounds)
    del before["key"]
    assert keys.json("set", before["id"], *words) == {**before, **changed}
    assert keys.json("show", before["id"]) == {**before, **changed}


def test_set_tells_what_holds_now(keys: Commands) -> None:
    """For people: the key as it is then, and that gateways which are running know of it within a minute."""
    created = keys.json("create", "--user", "ada")
    told = keys.run("set", created["id"], "--expires", "0s").stdout
    assert "\nState    expired\n" in told
    assert told.endswith("\n\nA gateway that is running goes by this within 60 s.\n")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="nothing to set"),
        pytest.param(["--plan", "standard", "--no-plan"], id="a plan and none"),
        pytest.param(["--models", "a", "--all-models"], id="some models and all"),
        pytest.param(["--origin", "http://a", "--any-origin"], id="an origin and any"),
        pytest.param(["--expires", "soon"], id="no time"),
        pytest.param(["--max-parallel", "few"], id="no amount"),
    ],
)
def test_set_used_wrongly(keys: Commands, words: list[str]) -> None:
    """The status is 2, and nothing is changed."""
    created = keys.json("create", "--user", "ada")
    result = keys.run("set", created["id"], *words)
    assert (result.exit_code, result.stdout) == (2, "")
    del created["key"]
    assert keys.json("show", created["id"]) == created


def test_set_an_unknown_plan(keys: Commands) -> None:
    """A plan has to be one of the configuration's."""
    created = keys.json("create", "--user", "ada")
    result = keys.run("set", created["id"], "--plan", "gold")
    assert (result.exit_code, keys.json("show", created["id"])["plan"]) == (1, "")


# -- rotate, disable and enable ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "grace_ms"), [([], 24 * 3_600_000), (["--grace", "5m"], 300_000), (["--grace", "0s"], None)]
)
def test_rotate(tmp_path: Path, keys: Commands, words: list[str], grace_ms: int | None) -> None:
    """A new key takes the place of the old one, which stays good for a while; all else stays."""
    created = keys.json("create", "--user", "ada", *LIMITED)
    before = SystemClock().now_ms()
    rotated = keys.json("rotate", created["id"], *words)
    after = SystemClock().now_ms()
    old, new = created.pop("key"), rotated.pop("key")
    assert is_well_formed(new)
    assert new != old
    until_ms = rotated.pop("grace_until_ms")
    if grace_ms is None:
        assert until_ms is None
    else:
        assert before + grace_ms <= until_ms <= after + grace_ms
    del created["grace_until_ms"]
    assert rotated == created
    with sqlite3.connect(tmp_path / "data" / "sluice.db") as database:
        ((current, previous),) = database.execute("SELECT hash, previous_hash FROM keys")
    database.close()
    assert current == hash_key(new).hex()
    assert previous == (hash_key(old).hex() if grace_ms else None)


def test_rotate_for_people(keys: Commands) -> None:
    """The new key stands on a line of its own; how long the old one is good is told, and by `show` as well."""
    created = keys.json("create", "--user", "ada")
    key, notice, _, old = keys.run("rotate", created["id"]).stdout.splitlines()
    assert is_well_formed(key)
    assert notice == "Keep it now: it is not shown again."
    assert re.fullmatch(r"The key before is good until 20\d\d-\d\d-\d\d \d\d:\d\d UTC\.", old)
    assert "Rotated  the key before is good until" in keys.run("show", created["id"]).stdout
    assert keys.run("rotate", created["id"], "--grace", "0s").stdout.endswith("is not good any more.\n")


@pytest.mark.parametrize("grace", ["soon", "24", "31d", "-1h"])
def test_rotate_used_wrongly(keys: Commands, grace: str) -> None:
    """A time of grace has a unit and ends within a month."""
    created = keys.json("create", "--user", "ada")
    assert keys.run("rotate", created["id"], "--grace", grace).exit_code == 2


def test_disable_and_enable(keys: Commands) -> None:
    """A disabled key is there, and says so, until it is enabled."""
    created = keys.json("create", "--user", "ada")
    assert keys.json("disable", created["id"])["disabled"] is True
    assert " disabled " in keys.run("list").stdout
    assert keys.run("enable", created["id"]).stdout == (
        "Enabled.\nA gateway that is running goes by this within 60 s.\n"
    )
    del created["key"]
    assert keys.json("show", created["id"]) == created


@pytest.mark.parametrize(
    "words",
    [["show"], ["set", "--name", "x"], ["rotate"], ["disable"], ["enable"]],
    ids=lambda words: words[0],
)
def test_unknown_key(keys: Commands, words: list[str]) -> None:
    """One line says that there is none, and how to see which there are."""
    keys.run("create", "--user", "ada")
    result = keys.run(words[0], "key_none", *words[1:])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no key 'key_none': `sluice keys list` shows those there are.\n"
