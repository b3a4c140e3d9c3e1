"""`sluice config check`, where commands find their configuration, and the examples that come with Sluice."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from common.cli.configuration import load
from common.cli.root import sluice
from common.model.limits import UNLIMITED, Limit
from common.settings import SettingsError, parse_settings

ROOT = Path(__file__).parents[3]
FULL = """
[providers.backup]
kind = "openai"
base_url = "https://llm.example.com/v1"
api_key = ["env:KEY_1", "env:KEY_2"]

[providers.embedded]
kind = "embedded"

[models.small]
targets = [
    { to = "backup/some/small", price = { input = "0.15", output = "0.60", cache_read = "0.075", request = "0.001" } },
    "backup/other",
    "embedded/demo",
]
context_length = 128_000
max_output_tokens = 16_384
tier = "budget"
modalities = ["text"]

[plans.standard]
requests_per_minute = 60
budget = { month = "50.00" }
[plans.premium]
max_output_tokens = 4_096
"""
NO_LIMITS: dict[str, object] = {limit.value: "unlimited" for limit in Limit}
WRONG = """
[server]
log_level = "loud"

[models.small]
targets = ["nowhere/small"]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*words: str, **variables: str) -> Result:
    """Run it."""
    return CliRunner().invoke(sluice, ["config", "check", *words], env=variables)


# -- check -------------------------------------------------------------------------------------------------------------


def test_summary(folder: Path) -> None:
    """Providers, the way from models to targets, prices and plans are told, never a key."""
    (folder / "sluice.toml").write_text(FULL)
    result = check(KEY_1="secret-1", KEY_2="secret-2")
    assert result.exit_code == 0
    assert result.stdout == (
        "sluice.toml: no mistakes.\n"
        "\n"
        "Providers\n"
        "backup    openai    https://llm.example.com/v1  2 API keys\n"
        "embedded  embedded\n"
        "\n"
        "Models, at USD per million tokens\n"
        "small  backup/some/small  input 0.15, output 0.6, cache_read 0.075, per request 0.001"
        "  context 128,000, output 16,384\n"
        "       backup/other       no price                                                   "
        "  context 128,000, output 16,384\n"
        "       embedded/demo      free                                                       "
        "  context 128,000, output 16,384\n"
        "\n"
        "Plans\n"
        "NAME      REQ/MIN    USD/MONTH  MAX OUTPUT\n"
        "standard  60         50.00\n"
        "premium   unlimited  unlimited  4,096\n"
    )


def test_summary_of_plans(folder: Path) -> None:
    """What is only observed is told apart; so are alerts, and what lets requests pass while the storage fails."""
    (folder / "sluice.toml").write_text("""
[plans.standard]
max_parallel = 4
budget = { day = "5", alerts = [80, 50] }
[plans.pilot]
max_parallel = { limit = 4, mode = "observe" }
on_storage_failure = "allow"
""")
    assert check().stdout.endswith(
        "Plans\n"
        "NAME      PARALLEL      USD/DAY    ALERTS      ON STORAGE FAILURE\n"
        "standard  4             5.00       50 %, 80 %  refuse\n"
        "pilot     4 (observed)  unlimited              allow\n"
    )
    pilot = json.loads(check("--json").stdout)["plans"]["pilot"]
    assert (pilot["observed"], pilot["on_storage_failure"]) == (["max_parallel"], "allow")


def test_summary_json(folder: Path) -> None:
    """The same for scripts."""
    (folder / "other.toml").write_text(FULL)
    result = check("--config", "other.toml", "--json", KEY_1="secret-1", KEY_2="secret-2")
    told = json.loads(result.stdout)
    assert told == {
        "ok": True,
        "file": "other.toml",
        "providers": {
            "backup": {"kind": "openai", "base_url": "https://llm.example.com/v1", "api_keys": 2},
            "embedded": {"kind": "embedded", "base_url": None, "api_keys": 0},
        },
        "models": {
            "small": {"tier": "budget", "modalities": ["text"], "targets": told["models"]["small"]["targets"]}
        },
        "plans": {
            "standard": {
                "limits": {
                    **NO_LIMITS,
                    "requests_per_minute": 60,
                    "budget_month": {"nanousd": 50 * 10**9, "usd": "50.00"},
                },
                "observed": [],
                "alerts": [],
                "on_storage_failure": "refuse",
                "max_output_tokens": None,
            },
            "premium": {
                "limits": NO_LIMITS,
                "observed": [],
                "alerts": [],
                "on_storage_failure": "refuse",
                "max_output_tokens": 4_096,
            },
        },
    }
    first, second, third = told["models"]["small"]["targets"]
    assert first == {
        "to": "backup/some/small",
        "price": {"input": "0.15", "output": "0.6", "cache_read": "0.075", "request": "0.001"},
        "context_length": 128_000,
        "max_output_tokens": 16_384,
    }
    assert second["price"] is None
    assert third["price"] == {"input": "0", "output": "0"}


def test_without_a_file() -> None:
    """Where there is no file, that is said, and what holds then."""
    result = check()
    assert result.exit_code == 0
    assert result.stdout.startswith("There is no sluice.toml: the embedded model answers.\n")
    assert result.stdout.endswith(
        "\nModels, at USD per million tokens\ndemo  embedded/demo  free  context 2,048\n\nPlans\nnone\n"
    )


def test_empty_file(folder: Path) -> None:
    """A file that configures nothing is no mistake."""
    (folder / "sluice.toml").touch()
    assert check().stdout == "sluice.toml: no mistakes.\n\nProviders\nnone\n\nModels\nnone\n\nPlans\nnone\n"


def test_mistakes(folder: Path) -> None:
    """Each mistake is a line of its own; the status is 1."""
    (folder / "sluice.toml").write_text(WRONG)
    result = check()
    assert (result.exit_code, result.stdout) == (1, "")
    first, second = result.stderr.splitlines()
    assert first.startswith("Error: sluice.toml: server.log_level: expected")
    assert second.startswith('Error: sluice.toml: models."small".targets.0: no provider')


def test_mistakes_json(folder: Path) -> None:
    """The same for scripts."""
    (folder / "sluice.toml").write_text(WRONG)
    result = check("--json")
    assert (result.exit_code, result.stderr) == (1, "")
    told = json.loads(result.stdout)
    assert told["ok"] is False
    assert [(each["file"], each["key"]) for each in told["mistakes"]] == [
        ("sluice.toml", "server.log_level"),
        ("sluice.toml", 'models."small".targets.0'),
    ]


# -- where it is found -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(None, "cannot be read (No such file or directory)", id="missing"),
        pytest.param(b"\xff", "expected text in UTF-8", id="not text"),
        pytest.param(b"[", "expected TOML", id="not TOML"),
    ],
)
def test_named_file(folder: Path, content: bytes | None, problem: str) -> None:
    """A file that is named has to be there, and to be TOML."""
    path = folder / "named.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    (mistake,) = caught.value.mistakes
    assert mistake.file == str(path)
    assert mistake.expected.startswith(problem)


def test_folder_instead_of_a_file(folder: Path) -> None:
    """A folder called like the file is not the same as no file."""
    (folder / "sluice.toml").mkdir()
    with pytest.raises(SettingsError, match="Is a directory"):
        load(None, {})


# -- examples ----------------------------------------------------------------------------------------------------------

EXAMPLE = (ROOT / "sluice.example.toml").read_text()
SWITCHED_ON = re.sub(r"^#(?=\S)", "", EXAMPLE, flags=re.MULTILINE)
VARIABLES = {"OPENROUTER_API_KEY": "k", "BACKUP_API_KEY": "k"}


@pytest.mark.parametrize(
    "text", [pytest.param(EXAMPLE, id="as it is"), pytest.param(SWITCHED_ON, id="all of it")]
)
def test_example_configuration(text: str) -> None:
    """The example has no mistake, nor has it with everything switched on that is switched off in it."""
    assert parse_settings(text, VARIABLES).models


def test_example_shows_what_holds() -> None:
    """The bounds in the example are the ones without it."""
    assert parse_settings(SWITCHED_ON, VARIABLES).server == parse_settings("", {}).server


def test_example_can_be_limited() -> None:
    """Its models have prices and bounds, so that a key with a budget may use them; of its plans, one has no limits."""
    settings = parse_settings(EXAMPLE, VARIABLES)
    targets = [target for model in settings.models.values() for target in model.targets]
    assert all(target.prices and target.context_length and target.max_output_tokens for target in targets)
    assert settings.plans["standard"].limits.budget_month == 50 * 10**9
    assert settings.plans["premium"].limits == UNLIMITED


def test_example_needs_one_key() -> None:
    """Copied, the example wants nothing but OpenRouter's key."""
    with pytest.raises(SettingsError, match="expected the variable OPENROUTER_API_KEY to be set") as caught:
        parse_settings(EXAMPLE, {})
    assert len(caught.value.mistakes) == 1


def test_example_variables() -> None:
    """The example of `.env` names the variables of the example configuration, and no others."""
    named = re.findall(r"^#?([A-Z_0-9]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    assert sorted(named) == sorted(re.findall(r'^api_key = "env:(\w+)"', SWITCHED_ON, flags=re.MULTILINE))
