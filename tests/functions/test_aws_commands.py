"""`sluice keys`, `users`, `usage` and `jobs` on a table that is deployed: the installed program, DynamoDB on moto."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from common.access.api_key import hash_key
from common.adapters.clock import SystemClock
from common.model.ids import UserId
from common.model.limits import Limit, Limits
from common.model.principal import KeyRecord
from tests.support.dynamodb import ENDPOINT, LocalDynamo, moto, open_dynamo
from tests.support.metered import NOON, Instance, World, principal
from tests.support.origin import Exchange, origin
from tests.support.sluice import Ended, run

REGION: Final = "us-east-1"
CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
NOWHERE: Final = {  # nothing of whoever runs the tests
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody at a terminal, with the standard variables set."""

    folder: Path
    variables: Mapping[str, str]

    async def run(self, *words: str) -> Ended:
        """Run a command."""
        return await run(self.folder, *words, "--target", "aws", **self.variables)

    async def json(self, *words: str) -> Any:
        """Run one with `--json`; what it prints."""
        ended = await self.run(*words, "--json")
        assert (ended.status, ended.stderr) == (0, "")
        return json.loads(ended.stdout)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what whoever runs the tests has set."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture
async def store() -> AsyncIterator[LocalDynamo]:
    """The table of a stage."""
    async with open_dynamo(ENDPOINT or moto()) as local:
        yield local


@pytest.fixture
def operator(store: LocalDynamo, tmp_path: Path) -> Operator:
    """Of that table."""
    variables = {"AWS_ENDPOINT_URL_DYNAMODB": store.url, "AWS_REGION": REGION, "SLUICE_TABLE": store.table}
    return Operator(tmp_path, NOWHERE | CREDENTIALS | variables)


def instance(store: LocalDynamo, age_s: int = 0) -> Instance:
    """A process that did what it does so long ago."""
    return World(store.rows()).instance(skew_ms=SystemClock().now_ms() - age_s * 1000 - NOON)


async def stored(store: LocalDynamo, key_id: str) -> KeyRecord:
    """A key as the table has it."""
    (record,) = [each for each in await store.keys().list() if each.id == key_id]
    return record


# -- commands ----------------------------------------------------------------------------------------------------------


async def test_keys(store: LocalDynamo, operator: Operator) -> None:
    """A key is made, shown, listed, changed, rotated, disabled and deleted in the table, and nothing in the folder."""
    made = await operator.json("keys", "create", "--user", "ada", "--budget-month", "5")
    record = await stored(store, made["id"])
    assert (record.key_hash, record.overrides) == (hash_key(made["key"]), {Limit.BUDGET_MONTH: 5 * 10**9})
    assert (await operator.json("keys", "show", made["id"]))["user"] == "ada"
    await operator.json("keys", "create", "--user", "bob")
    assert [each["id"] for each in await operator.json("keys", "list", "--user", "ada")] == [made["id"]]
    await operator.json("keys", "set", made["id"], "--name", "laptop")
    rotated = await operator.json("keys", "rotate", made["id"])
    await operator.json("keys", "disable", made["id"])
    record = await stored(store, made["id"])
    assert (record.name, record.disabled, record.version) == ("laptop", True, 4)
    for key in (made["key"], rotated["key"]):
        assert await store.keys().find(hash_key(key)) == record
    assert (await operator.run("keys", "delete", made["id"])).status == 0
    gone = await operator.run("keys", "show", made["id"])
    assert (gone.status, gone.stderr[:21]) == (1, "Error: There is no ke")
    assert [each.user for each in await store.keys().list()] == ["bob"]
    assert list(operator.folder.iterdir()) == []


async def test_users(store: LocalDynamo, operator: Operator) -> None:
    """A user's limits are set in the table, changed, and listed."""
    await operator.json("users", "set", "ada", "--max-parallel", "2")
    await operator.json("users", "set", "ada", "--budget-day", "1")
    record = await store.users().find(UserId("ada"))
    assert record is not None
    assert record.overrides == {Limit.MAX_PARALLEL: 2, Limit.BUDGET_DAY: 10**9}
    assert [each["user"] for each in await operator.json("users", "list")] == ["ada"]


async def test_usage(store: LocalDynamo, operator: Operator) -> None:
    """What requests used is summed, shown one by one, and held against the meter's rows."""
    one = instance(store)
    await one.settle(await one.admit(principal(Limits(budget_day=100)), cost=50), cost=30)
    (record,) = await store.records()
    (row,) = await operator.json("usage", "--by", "user")
    assert (row["user"], row["requests"]) == (record.user, 1)
    assert (await operator.json("usage", "show", record.request_id))["id"] == record.request_id
    before = await run(
        operator.folder, "usage", "--target", "aws", "show", record.request_id, **operator.variables
    )
    assert (before.status, before.stdout[:7]) == (0, "Request")
    assert [each["verdict"] for each in await operator.json("usage", "verify")] == ["right"]


async def test_sweep(store: LocalDynamo, operator: Operator) -> None:
    """The job that books expired holds runs from here on the table."""
    settings = (
        '[providers.one]\nkind = "openai"\nbase_url = "https://llm.example.com/v1"\n'
        '[models.demo]\ntargets = ["one/demo"]\n'
    )
    (operator.folder / "sluice.toml").write_text(settings)
    await instance(store, age_s=3_600).admit(principal(Limits(budget_day=100)), cost=50)
    assert await operator.json("jobs", "run", "sweep") == {"booked as spent": 1}
    assert [each.abandoned for each in await store.records()] == [True]


async def test_stage_names_the_table(store: LocalDynamo, operator: Operator) -> None:
    """`--stage` goes before the variable: what it names is not there."""
    ended = await operator.run("keys", "list", "--stage", "staging")
    assert ended.status == 1
    assert ended.stderr.startswith(f"Error: There is no table sluice-staging in {REGION}.")
    assert len(ended.stderr.splitlines()) == 1


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param([], "name the stage with --stage, or its table with SLUICE_TABLE", id="no stage"),
        pytest.param(["--stage", "dev", "--data", "x"], "--data is a folder of this machine", id="a folder"),
        pytest.param(["--stage", "a/b"], "'a/b': expected", id="no name"),
    ],
)
async def test_used_wrongly(tmp_path: Path, words: list[str], told: str) -> None:
    """What does not go together is a mistake of whoever calls, with status 2."""
    ended = await Operator(tmp_path, NOWHERE | CREDENTIALS | {"AWS_REGION": REGION}).run(
        "keys", "list", *words
    )
    assert (ended.status, ended.stdout) == (2, "")
    assert told in ended.stderr


async def test_stage_of_this_machine(tmp_path: Path) -> None:
    """One machine has no stages; to forget `--target` is not to ask for its own database."""
    ended = await run(tmp_path, "keys", "list", "--stage", "dev")
    assert ended.status == 2
    assert "name it with --target, too" in ended.stderr


SETTING: Final = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        pytest.param(SETTING, "There are no AWS credentials: `aws configure`", id="no credentials"),
        pytest.param(CREDENTIALS, "No region is named: set AWS_REGION", id="no region"),
        pytest.param(CREDENTIALS | SETTING, "http://127.0.0.1:1 cannot be reached", id="nobody there"),
        pytest.param(
            SETTING | {"AWS_PROFILE": "other"}, "profile (other) could not be found", id="no profile"
        ),
        pytest.param(
            CREDENTIALS | SETTING | {"AWS_ENDPOINT_URL_DYNAMODB": "nonsense"},
            "AWS cannot be used as it is configured here: Invalid endpoint: nonsense",
            id="no endpoint",
        ),
    ],
)
async def test_no_way_in(tmp_path: Path, variables: Mapping[str, str], told: str) -> None:
    """What is missing on this machine is told in one line, with what to do."""
    ended = await Operator(tmp_path, {**NOWHERE, **variables}).run("keys", "list", "--stage", "dev")
    assert (ended.status, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert told in line


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("ResourceNotFoundException", "There is no table sluice-dev in us-east-1. Is that the stage"),
        ("AccessDeniedException", "These credentials may not do that with sluice-dev"),
        ("ExpiredTokenException", "The credentials have expired. Log in again"),
        ("UnrecognizedClientException", "AWS does not know these credentials. Log in again"),
        ("InvalidSignatureException", "AWS does not accept the signature: the secret key is wrong, or this"),
        ("ThrottlingException", "DynamoDB throttles calls to sluice-dev just now. Try again."),
        ("ValidationException", "sluice-dev in us-east-1 cannot be used."),
    ],
)
async def test_refused(tmp_path: Path, kind: str, told: str) -> None:
    """What AWS refuses is told in one line, with what to do and AWS's own words."""

    async def script(exchange: Exchange) -> None:
        refusal = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "words of theirs"}
        await exchange.answer(json.dumps(refusal).encode(), "400 Bad Request")

    async with origin(script) as aws:
        variables = NOWHERE | CREDENTIALS | SETTING | {"AWS_ENDPOINT_URL_DYNAMODB": aws.url}
        ended = await Operator(tmp_path, variables).run("keys", "list", "--stage", "dev")
    assert (ended.status, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"Error: {told}")
    assert line.endswith(f"(400 {kind}: words of theirs)")
