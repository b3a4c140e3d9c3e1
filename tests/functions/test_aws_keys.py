"""Keys that the commands make in DynamoDB, at functions on Lambda's emulator; and a DynamoDB that fails them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import openai
import pytest

from common.access.api_key import RANDOM_BYTES, new_key
from common.metering.standing import COMMITTED_TOTAL
from tests.support import answers
from tests.support.dynamodb import ENDPOINT, LocalDynamo, moto, open_dynamo
from tests.support.emulator import Emulated, calling, emulated
from tests.support.origin import Exchange, Script, origin
from tests.support.sluice import run
from tests.support.wire import Answer, request

KEY: Final = new_key(bytes(range(RANDOM_BYTES)))
SETTINGS: Final = """
[providers.scripted]
kind = "openai"
base_url = "{url}/v1"
[models.demo]
targets = ["scripted/upstream-demo"]
price = {{ input = "1", output = "2" }}
context_length = 10_000
[plans.limited]
requests_per_minute = 1_000
budget = {{ total = "5.00" }}
"""
ASKED: Final = {"model": "demo", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 100}
COST: Final = 9 * 1_000 + 2 * 2_000  # nano-dollars


@dataclass(frozen=True, slots=True)
class Deployed:
    """A function with its table, and an operator."""

    lambda_: Emulated
    store: LocalDynamo
    folder: Path

    async def sluice(self, *words: str) -> Any:
        """Run a command on the table; what it prints."""
        variables = {
            "AWS_ENDPOINT_URL_DYNAMODB": self.store.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "SLUICE_TABLE": self.store.table,
        }
        ended = await run(self.folder, *words, "--target", "aws", "--json", **variables)
        assert (ended.status, ended.stderr) == (0, "")
        return json.loads(ended.stdout)

    async def chat(self, key: str) -> str | None:
        """What the official client gets for it; None where the key is refused."""
        async with openai.AsyncOpenAI(
            api_key=key, base_url=f"{self.lambda_.url}/v1", max_retries=0
        ) as client:
            try:
                answer = await client.chat.completions.create(**ASKED)  # type: ignore[call-overload]
            except openai.AuthenticationError:
                return None
        await self.lambda_.is_quiet()
        content: str = answer.choices[0].message.content
        return content


async def whole(exchange: Exchange) -> None:
    """A whole answer of the provider."""
    await exchange.answer(answers.completion("Hello."), "200 OK", "content-type: application/json")


@asynccontextmanager
async def deployed(folder: Path) -> AsyncIterator[Deployed]:
    """Deploy chat as it is."""
    async with open_dynamo(ENDPOINT or moto()) as store, origin(whole) as provider:
        (folder / "sluice.toml").write_text(SETTINGS.format(url=provider.url))
        variables = {"SLUICE_TABLE": store.table, "SLUICE_DYNAMODB_ENDPOINT": store.url}
        handler = "common.targets.aws.entry.chat_completions"
        async with emulated(handler, variables=variables, folder=folder) as lambda_:
            yield Deployed(lambda_, store, folder)


async def test_key_of_the_command_line(tmp_path: Path) -> None:
    """A key that a command has made works at once, is metered in its row, and its use is noted."""
    async with deployed(tmp_path) as function:
        made = await function.sluice("keys", "create", "--user", "ada", "--plan", "limited")
        assert await function.chat(KEY) is None
        assert await function.chat(made["key"]) == "Hello."
        (row,) = await function.store.rows().read([f"key:{made['id']}"])
        shown = await function.sluice("keys", "show", made["id"])
        (used,) = await function.sluice("usage", "--by", "user")
    assert (row.counts[COMMITTED_TOTAL], row.holds) == (COST, {})
    assert shown["last_used_ms"] is not None
    assert (used["user"], used["cost_usd"]) == ("ada", "0.000013")


async def test_key_that_is_rotated_and_deleted(tmp_path: Path) -> None:
    """After a rotation both keys work; after the deletion neither does, in a process that has not seen them."""
    async with deployed(tmp_path) as function:
        made = await function.sluice("keys", "create", "--user", "ada", "--plan", "limited")
        rotated = await function.sluice("keys", "rotate", made["id"])
        for key in (made["key"], rotated["key"]):
            assert await function.chat(key) == "Hello."
        await function.sluice("keys", "delete", made["id"])
        for environment in list(function.lambda_.emulator.environments):
            pid = environment.pid
            environment.kill()
            await function.lambda_.has_ended(pid or 0)
        for key in (made["key"], rotated["key"]):
            assert await function.chat(key) is None


# -- faults ------------------------------------------------------------------------------------------------------------


def refusing(kind: str) -> Script:
    """A DynamoDB that answers everything so."""

    async def script(exchange: Exchange) -> None:
        refusal = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "arn:aws:iam::123:role"}
        await exchange.answer(json.dumps(refusal).encode(), "400 Bad Request")

    return script


async def broken(exchange: Exchange) -> None:
    """One that hangs up."""
    exchange.close()


@pytest.mark.parametrize(
    ("script", "logged"),
    [
        pytest.param(refusing("ResourceNotFoundException"), "400 ResourceNotFoundException", id="no table"),
        pytest.param(refusing("AccessDeniedException"), "400 AccessDeniedException", id="denied"),
        pytest.param(refusing("ThrottlingException"), "400 ThrottlingException", id="throttled"),
        pytest.param(broken, "UpstreamBroken", id="hangs up"),
        pytest.param(None, "UpstreamUnreachable", id="unreachable"),
    ],
)
async def test_dynamodb_fails(script: Script | None, logged: str, tmp_path: Path) -> None:
    """M8: nothing is sent upstream; the client is told to come back, and nothing of the account; the log says why."""
    async with origin(whole) as provider, origin(script or broken) as aws:
        (tmp_path / "sluice.toml").write_text(SETTINGS.format(url=provider.url))
        endpoint = "http://127.0.0.1:1" if script is None else aws.url
        variables = {"SLUICE_TABLE": "sluice-dev", "SLUICE_DYNAMODB_ENDPOINT": endpoint}
        handler = "common.targets.aws.entry.chat_completions"
        async with emulated(handler, variables=variables, folder=tmp_path) as lambda_:
            answer = await ask(lambda_.url)
            await lambda_.is_quiet()
            log = lambda_.log
        assert provider.exchanges == []
    assert (answer.status, answer.error["code"]) == (503, "storage_unavailable")
    assert int(answer.header("retry-after") or 0) > 0
    assert "arn:" not in answer.body.decode()
    lines = [json.loads(line) for line in log.splitlines()]
    (line,) = [each for each in lines if each.get("logger") == "sluice.dynamodb"]
    assert line["message"].startswith("GetItem failed, attempts: ")
    assert logged in line["message"]


async def ask(url: str) -> Answer:
    """A chat request with a key that looks right."""
    lines = (f"authorization: Bearer {KEY}", "content-type: application/json")
    async with calling(url) as wire:
        await wire.send(request("POST", "/v1/chat/completions", *lines, body=json.dumps(ASKED).encode()))
        return await wire.answer()
