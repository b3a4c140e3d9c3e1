"""Functions on Lambda's emulator whose providers' keys AWS keeps, and what their log has for CloudWatch and X-Ray."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from common.access.api_key import RANDOM_BYTES
from common.access.new_key import with_secret
from common.adapters.clock import SystemClock
from common.model.ids import KeyId, UserId
from common.model.limits import Limits
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord
from common.targets.aws.metrics import Metric
from tests.support import answers
from tests.support.aws_secrets import AwsSecrets, aws_secrets
from tests.support.dynamodb import ENDPOINT, LocalDynamo, moto, open_dynamo
from tests.support.emulator import Emulated, calling, emulated
from tests.support.metered import NOON, World, principal
from tests.support.origin import Exchange, Origin, origin
from tests.support.wire import Answer, request

VALUE: Final = "sk-kept-314159265358979"
SETTINGS: Final = """
[providers.kept]
kind = "openai"
base_url = "{url}/v1"
api_key = "ssm:{path}"
[models.demo]
targets = ["kept/upstream-demo"]
"""
CANDIDATES: Final = """
[providers.absent]
kind = "openai"
base_url = "{url}/v1"
api_key = "ssm:{path}/absent"
[providers.wrong]
kind = "openai"
base_url = "{url}/v1"
api_key = "ssm:{path}/wrong"
[providers.kept]
kind = "openai"
base_url = "{url}/v1"
api_key = "ssm:{path}"
[models.demo]
targets = ["absent/upstream-demo", "wrong/upstream-demo", "kept/upstream-demo"]
"""
ASKED: Final = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "?"}]}).encode()


@dataclass(frozen=True, slots=True)
class Deployed:
    """A function, and what is behind it."""

    lambda_: Emulated
    store: LocalDynamo
    provider: Origin
    key: str

    async def chat(self) -> Answer:
        """Ask for a completion."""
        lines = (f"authorization: Bearer {self.key}", "content-type: application/json")
        async with calling(self.lambda_.url) as wire:
            await wire.send(request("POST", "/v1/chat/completions", *lines, body=ASKED))
            answer = await wire.answer()
        await self.lambda_.is_quiet()
        return answer

    def lines(self, logger: str) -> list[Any]:
        """What is in the log of it."""
        entries = [json.loads(line) for line in self.lambda_.log.splitlines() if line.startswith("{")]
        return [entry for entry in entries if entry["logger"] == logger]


@pytest.fixture(scope="module")
def secrets() -> Iterator[AwsSecrets]:
    """An account that keeps some."""
    with aws_secrets() as served:
        yield served


async def answer(exchange: Exchange) -> None:
    """A provider that answers whoever has the key."""
    good = exchange.asked.values("authorization") == [f"Bearer {VALUE}"]
    body = answers.completion() if good else b'{"error": {"message": "Who are you?"}}'
    await exchange.answer(body, "200 OK" if good else "401 Unauthorized", "content-type: application/json")


@asynccontextmanager
async def deployed(
    folder: Path,
    secrets: AwsSecrets,
    path: str,
    name: str = "chat_completions",
    settings: str = SETTINGS,
) -> AsyncIterator[Deployed]:
    """Deploy it, with a key of Sluice's."""
    async with open_dynamo(ENDPOINT or moto()) as store, origin(answer) as provider:
        (folder / "sluice.toml").write_text(settings.format(url=provider.url, path=path))
        record = KeyRecord(KeyId("key_1"), b"", UserId("ada"), "test", DEFAULT_PERMISSIONS, 1)
        new = with_secret(record, bytes(range(RANDOM_BYTES)))
        await store.keys().create(new.record)
        variables = {
            "SLUICE_TABLE": store.table,
            "SLUICE_DYNAMODB_ENDPOINT": store.url,
            "SLUICE_METRICS": "Sluice/test",
            **secrets.variables,
        }
        async with emulated(
            f"common.targets.aws.entry.{name}", variables=variables, folder=folder
        ) as lambda_:
            yield Deployed(lambda_, store, provider, new.key)


async def test_key_that_aws_keeps(tmp_path: Path, secrets: AwsSecrets) -> None:
    """The provider is asked with the value of the parameter, which is read once, and is in no log."""
    path = f"/sluice/{uuid4().hex}"
    secrets.put_parameter(path, VALUE)
    async with deployed(tmp_path, secrets, path) as function:
        assert [(await function.chat()).status for _ in range(2)] == [200, 200]
        (read,) = function.lines("sluice.secrets")
        asked = [exchange.asked for exchange in function.provider.exchanges]
        log = function.lambda_.log
        requests = function.lines("sluice.request")
    assert read["message"].startswith("1 of 1 secrets read in ")
    assert [each.values("authorization") for each in asked] == [[f"Bearer {VALUE}"]] * 2
    assert VALUE not in log
    assert [each.values("x-amzn-trace-id") for each in asked] == [
        [each["xray_trace_id"]] for each in requests
    ]
    assert [each[Metric.REQUESTS] for each in requests] == [1, 1]
    assert requests[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Sluice/test"


async def test_key_that_is_not_there(tmp_path: Path, secrets: AwsSecrets) -> None:
    """Without it chat answers 503 and says so in the log, in the process that it has; nothing is held or booked."""
    path = f"/sluice/{uuid4().hex}"
    async with deployed(tmp_path, secrets, path) as function:
        found = [await function.chat() for _ in range(2)]
        pids = function.lambda_.pids
        told = [entry for entry in function.lines("sluice.secrets") if entry["level"] == "error"]
        assert function.provider.exchanges == []
        records = await function.store.records()
    assert [(each.status, each.error["code"]) for each in found] == [(503, "model_unavailable")] * 2
    assert len(pids) == 1
    assert "ssm:" not in found[0].body.decode()
    assert told[0]["message"] == (
        f"ssm:{path} cannot be read, and who needs it gets a 503: there is no such parameter in the region"
    )
    assert {record.cost_nanousd for record in records} == {0}


async def test_other_candidates(tmp_path: Path, secrets: AwsSecrets) -> None:
    """One whose key is not there is passed over, one whose key is refused is asked; all in the same trace."""
    path = f"/sluice/{uuid4().hex}"
    secrets.put_parameter(path, VALUE)
    secrets.put_parameter(f"{path}/wrong", "sk-another-1618033988")
    async with deployed(tmp_path, secrets, path, settings=CANDIDATES) as function:
        answered = await function.chat()
        asked = [exchange.asked for exchange in function.provider.exchanges]
        (line,) = function.lines("sluice.request")
        [record] = await function.store.records()
    assert answered.status == 200
    assert [each.values("authorization") for each in asked] == [
        ["Bearer sk-another-1618033988"],
        [f"Bearer {VALUE}"],
    ]
    assert [each.values("x-amzn-trace-id") for each in asked] == [[line["xray_trace_id"]]] * 2
    assert [each.provider for each in record.route] == ["absent", "wrong", "kept"]


async def test_function_that_needs_none(tmp_path: Path, secrets: AwsSecrets) -> None:
    """A function that asks no provider reads no secret: its role need not allow it."""
    async with deployed(tmp_path, secrets, "/sluice/none", name="models") as function:
        async with calling(function.lambda_.url) as wire:
            await wire.send(request("GET", "/v1/models", f"authorization: Bearer {function.key}"))
            listed = await wire.answer()
        assert [each["id"] for each in listed.json["data"]] == ["demo"]
        assert function.lines("sluice.secrets") == []


async def test_expired_holds_are_counted(tmp_path: Path, secrets: AwsSecrets) -> None:
    """What the job `sweep` finds unsettled is a metric, for an alarm."""
    async with deployed(tmp_path, secrets, "/sluice/none", name="sweep") as function:
        an_hour_ago = SystemClock().now_ms() - 3_600_000 - NOON
        one = World(function.store.rows()).instance(skew_ms=an_hour_ago)
        await one.admit(principal(Limits(budget_day=100)), cost=50)
        assert await function.lambda_.trigger({}) == {"booked as spent": 1}
        await function.lambda_.is_quiet()
        (counted,) = [entry for entry in function.lines("sluice.jobs") if "_aws" in entry]
    assert counted[Metric.EXPIRED_HOLDS] == 1
