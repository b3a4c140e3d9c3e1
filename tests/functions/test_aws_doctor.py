"""`sluice doctor --target aws`: the table on moto, secrets on moto, providers and functions that a test plays."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from click.testing import CliRunner

from common.adapters.clock import SystemClock
from common.adapters.dynamodb.breakers import DynamoBreakerStore
from common.adapters.dynamodb.table import create_table
from common.cli.doctor.urls import read_health
from common.cli.root import sluice
from common.providers.examination import State
from common.routing.breaker import MOST_REST_MS, Breaker, BreakerState, to_text
from tests.support.aws_secrets import REGION, AwsSecrets, aws_secrets
from tests.support.doctor import answering_by_path, listing
from tests.support.dynamodb import ENDPOINT, LocalDynamo, moto, open_dynamo
from tests.support.origin import Exchange, origin

VALUE: Final = "sk-kept-314159265358979"
SETTINGS: Final = """
[providers.kept]
kind = "openai"
base_url = "{url}/v1"
api_key = "ssm:{path}"
[models.demo]
targets = ["kept/upstream-demo"]
[plans.standard]
requests_per_minute = 60
"""
PLAIN: Final = "[plans.standard]\nrequests_per_minute = 60\n"
PROVIDER: Final = '[providers.kept]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
ALIVE: Final = {"/health": ("200 OK", b'{"status":"ok"}')}
TABLE_CHECKS: Final = ["table", "time to live", "backups", "writing"]


@dataclass(frozen=True, slots=True)
class Stage:
    """What is deployed, and who looks at it."""

    folder: Path
    store: LocalDynamo
    secrets: AwsSecrets
    variables: Mapping[str, str | None]

    async def doctor(self, settings: str, *options: str, **variables: str | None) -> dict[str, Any]:
        """What it finds, by the names of the checks."""
        (self.folder / "sluice.toml").write_text(settings)
        words = [
            "doctor",
            "--config",
            str(self.folder / "sluice.toml"),
            "--target",
            "aws",
            "--json",
            *options,
        ]
        result = await asyncio.to_thread(
            CliRunner().invoke, sluice, words, env={**self.variables, **variables}, catch_exceptions=False
        )
        told = json.loads(result.stdout)
        assert told["ok"] == (result.exit_code == 0)
        assert VALUE not in result.output
        found = {each["check"]: each for each in told["checks"]}
        assert len(found) == len(told["checks"])
        return found

    async def complete(self) -> None:
        """Make the table what the deployment makes of it."""
        client, named = self.store.client(), {"TableName": self.store.table}
        keeps = {"Enabled": True, "AttributeName": "ttl"}
        await client.call("UpdateTimeToLive", named | {"TimeToLiveSpecification": keeps})
        backups = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
        await client.call("UpdateContinuousBackups", named | backups)
        await client.call("UpdateTable", named | {"DeletionProtectionEnabled": True})

    async def unprotect(self) -> None:
        """So that it can be deleted."""
        named = {"TableName": self.store.table, "DeletionProtectionEnabled": False}
        await self.store.client().call("UpdateTable", named)


@pytest.fixture(scope="module")
def secrets() -> Iterator[AwsSecrets]:
    """An account that keeps some."""
    with aws_secrets() as served:
        yield served


@pytest.fixture
async def stage(tmp_path: Path, secrets: AwsSecrets) -> AsyncIterator[Stage]:
    """Of a table that was made by hand."""
    async with open_dynamo(ENDPOINT or moto()) as store:
        variables: dict[str, str | None] = {
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PROFILE": None,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_DYNAMODB": store.url,
            "SLUICE_TABLE": store.table,
            **secrets.variables,
        }
        yield Stage(tmp_path, store, secrets, variables)


def states(found: Mapping[str, Any]) -> dict[str, str]:
    """Of each check."""
    return {name: each["state"] for name, each in found.items()}


async def test_all_is_well(stage: Stage) -> None:
    """Table, secrets, provider and what is deployed are found to be well, and nothing is left in the table."""
    path = f"/sluice/{uuid4().hex}"
    stage.secrets.put_parameter(path, VALUE)
    await stage.complete()

    async def script(exchange: Exchange) -> None:
        good = exchange.asked.values("authorization") == [f"Bearer {VALUE}"]
        await answering_by_path(
            {"/v1/models": ("200 OK" if good else "401 Unauthorized", listing("upstream-demo")), **ALIVE}
        )(exchange)

    try:
        async with origin(script) as served:
            settings = SETTINGS.format(url=served.url, path=path)
            found = await stage.doctor(settings, "--url", f"{served.url}/v1", "--url", f"{served.url}/none")
        assert list(found) == [
            "configuration",
            f"secret ssm:{path}",
            *TABLE_CHECKS,
            "storage",
            "plans",
            "breakers",
            "provider kept",
            "model demo",
            f"url {served.url}/v1",
            f"url {served.url}/none",
        ]
        assert {name for name, state in states(found).items() if state != "ok"} == {f"url {served.url}/none"}
        left = await stage.store.client().call("Scan", {"TableName": stage.store.table})
        assert left["Items"] == []
    finally:
        await stage.unprotect()


async def test_breakers(stage: Stage) -> None:
    """Whom the deployed functions do not trust is told; it fails where a model has nobody else."""
    store = DynamoBreakerStore(stage.store.client(), stage.store.table, SystemClock())
    opened = to_text(Breaker(BreakerState.OPEN, SystemClock().now_ms(), rest_ms=MOST_REST_MS))
    await store.publish("kept/upstream-demo", opened)
    await store.publish("kept/of-yesterday's-configuration", opened)
    settings = PLAIN + PROVIDER + "[models.demo]\ntargets = ['kept/upstream-demo']\n"
    found = (await stage.doctor(settings))["breakers"]
    assert (found["state"], found["said"]) == (
        "failed",
        "Breakers that are not closed: kept/upstream-demo (open). Nobody else is there for demo.",
    )
    assert "sluice probe" in found["advice"]


async def test_table_that_was_made_by_hand(stage: Stage) -> None:
    """What a deployment would have set is told, one for each, with how to get it; the table works all the same."""
    found = await stage.doctor(PLAIN)
    assert states(found) == {
        "configuration": "ok",
        "table": "ok",
        "time to live": "failed",
        "backups": "failed",
        "writing": "ok",
        "storage": "ok",
        "plans": "ok",
        "breakers": "ok",
    }
    assert found["backups"]["said"].endswith("has no point-in-time recovery and no deletion protection.")
    assert "make deploy-aws" in found["time to live"]["advice"]


async def test_table_without_an_index(stage: Stage) -> None:
    """An index that is missing is named."""
    client, name = stage.store.client(), f"{stage.store.table}-bare"
    wanted = create_table(name)
    del wanted["GlobalSecondaryIndexes"][1]
    wanted["AttributeDefinitions"] = wanted["AttributeDefinitions"][:2]
    await client.call("CreateTable", wanted)
    try:
        found = await stage.doctor(PLAIN, SLUICE_TABLE=name)
    finally:
        await client.call("DeleteTable", {"TableName": name})
    assert found["table"]["said"] == f"{name} has no index items_by_user."


async def test_no_table(stage: Stage) -> None:
    """A stage that is not deployed is one line, which says what to look at."""
    found = await stage.doctor(PLAIN, "--stage", "nowhere")
    assert states(found) == {"configuration": "ok", "table": "failed"}
    assert found["table"]["said"].startswith(f"There is no table sluice-nowhere in {REGION}.")


async def test_no_credentials(stage: Stage) -> None:
    """Without credentials everything else is still looked at."""
    found = await stage.doctor(PLAIN, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert states(found) == {"configuration": "ok", "table": "failed"}
    assert found["table"]["said"].startswith("There are no AWS credentials")


async def test_secret_that_is_not_there(stage: Stage) -> None:
    """A secret that cannot be read is named with AWS's words; providers are not asked without it."""
    settings = SETTINGS.format(url="http://127.0.0.1:1", path="/sluice/none")
    found = await stage.doctor(settings)
    secret = found["secret ssm:/sluice/none"]
    assert secret["state"] == "failed"
    assert secret["said"] == "It cannot be read: there is no such parameter in the region."
    assert "provider kept" not in found
    assert found["storage"]["state"] == "ok"


async def test_secret_that_cannot_be_one(stage: Stage) -> None:
    """A value that no key has is a mistake of the configuration, told by its reference."""
    path = f"/sluice/{uuid4().hex}"
    stage.secrets.put_parameter(path, "two\nlines")
    found = await stage.doctor(SETTINGS.format(url="http://127.0.0.1:1", path=path))
    assert found["configuration"]["said"].endswith(f"expected printable ASCII in ssm:{path}")


async def test_on_one_machine(tmp_path: Path) -> None:
    """Where nobody fetches secrets, a reference to one is a mistake."""
    (tmp_path / "sluice.toml").write_text(SETTINGS.format(url="http://127.0.0.1:1", path="/key"))
    words = ["doctor", "--config", str(tmp_path / "sluice.toml"), "--data", str(tmp_path), "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, sluice, words)
    first = json.loads(result.stdout)["checks"][0]
    assert (result.exit_code, first["state"]) == (1, "failed")
    assert 'expected "env:NAME" here: ssm:/key is read on AWS only' in first["said"]


async def test_nobody_at_the_url(stage: Stage) -> None:
    """An address where nothing listens."""
    found = await stage.doctor(PLAIN, "--url", "http://127.0.0.1:1/v1")
    assert found["url http://127.0.0.1:1/v1"]["said"] == "Nothing answers there."


@pytest.mark.parametrize(
    ("status", "request_id", "body", "state", "said"),
    [
        (200, "req_1", b'{"status":"ok"}', State.OK, "It is alive."),
        (404, "req_1", b'{"error":{}}', State.OK, "another one than that of /health"),
        (404, None, b'{"error":{}}', State.FAILED, "Something else answers there (404)."),
        (403, None, b"Forbidden", State.FAILED, "It is refused (403)."),
        (502, None, b"Internal Server Error", State.FAILED, "It fails (502)."),
        (200, None, b"<html>", State.FAILED, "Something else answers there (200)."),
    ],
)
def test_what_answers(status: int, request_id: str | None, body: bytes, state: State, said: str) -> None:
    """A function is told from what is none; what to do stands beside each that fails."""
    finding = read_health(status, request_id, body)
    assert (finding.state, bool(finding.advice)) == (state, state is State.FAILED)
    assert said in finding.said
