"""The smoke test of a deployed gateway: on the local server, on Lambda's emulator, and on broken ones."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from infra.smoke.checks import CHECKS
from tests.support.answers import chunk, completion
from tests.support.dynamodb import ENDPOINT, moto, open_dynamo
from tests.support.origin import Exchange, origin
from tests.support.sluice import PROGRAM, Ended, run, serving

REPOSITORY: Final = Path(__file__).parents[2]
SETTINGS: Final = """
[providers.scripted]
kind = "openai"
base_url = "{url}/v1"
[models.demo]
targets = ["scripted/upstream-demo"]
price = {{ input = "1", output = "2" }}
context_length = 10_000
"""
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
WORDS: Final = 40
BEAT_S: Final = 0.005
PERMISSIONS: Final = ("chat", "models", "usage:read", "keys:write")
NAMES: Final = list(CHECKS)


def _usage(words: int) -> dict[str, int]:
    return {"prompt_tokens": 9, "completion_tokens": words, "total_tokens": 9 + words}


async def provide(exchange: Exchange) -> None:
    """A model that says a word every few milliseconds, as many as it may."""
    asked = json.loads(exchange.asked.body)
    words = min(WORDS, asked["max_tokens"])
    if not asked.get("stream"):
        await exchange.answer(
            completion("one", usage=_usage(words)), "200 OK", "content-type: application/json"
        )
        return
    await exchange.send(HEAD)
    for _ in range(words):
        await exchange.send(chunk({"content": "one "}))
        await asyncio.sleep(BEAT_S)
    await exchange.send(
        chunk({}, "stop"), chunk({}, None, choices=[], usage=_usage(words)), b"data: [DONE]\n\n"
    )
    exchange.close()


async def smoke(url: str, key: str, *options: str) -> Ended:
    """Run it to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.smoke", "--url", url, *options),
        cwd=REPOSITORY,
        env={**os.environ, "SLUICE_KEY": key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())


async def found(url: str, key: str, *options: str) -> dict[str, Any]:
    """What it says of each check, in JSON."""
    ended = await smoke(url, key, "--json", *options)
    assert ended.stderr == ""
    told = json.loads(ended.stdout)
    assert told["ok"] is (ended.status == 0)
    assert key not in ended.stdout
    return {each["check"]: each for each in told["checks"]}


def failures(checks: Mapping[str, Any]) -> dict[str, str]:
    """What failed, and why."""
    return {name: each["said"] for name, each in checks.items() if not each["ok"]}


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """One with a configuration, whose provider is there."""
    async with origin(provide) as provider:
        (tmp_path / "sluice.toml").write_text(SETTINGS.format(url=provider.url))
        yield tmp_path


async def create_key(folder: Path, *words: str, **variables: str) -> str:
    """A key that may do all that the test does."""
    permissions = [word for each in PERMISSIONS for word in ("--permission", each)]
    made = await run(folder, "keys", "create", "--user", "ada", *permissions, *words, "--json", **variables)
    assert made.status == 0, made.stderr
    return str(json.loads(made.stdout)["key"])


async def test_the_local_server_passes(folder: Path) -> None:
    """All holds of a gateway on one machine, where a client that leaves is noticed."""
    key = await create_key(folder)
    async with serving(folder) as gateway:
        checks = await found(gateway.base_url, key)
        await gateway.stop()
    assert failures(checks) == {}
    assert list(checks) == NAMES
    assert checks["disconnect"]["said"].startswith("settled as cancelled")
    assert checks["limits"]["said"].startswith("2 of 5 passed")
    assert checks["money"]["said"].startswith("refused with")


@asynccontextmanager
async def emulating(folder: Path, **variables: str) -> AsyncIterator[str]:
    """`sluice emulate aws` on a free port; its address."""
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "emulate", "aws", "--port", "0"),
        cwd=folder,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    try:
        yield (await process.stdout.readline()).split()[-1].decode()
    finally:
        process.terminate()
        await process.wait()


async def test_lambda_passes(folder: Path) -> None:
    """All holds of functions on Lambda's emulator, which does not tell that a client has left."""
    async with open_dynamo(ENDPOINT or moto()) as store:
        operator = {
            "AWS_ENDPOINT_URL_DYNAMODB": store.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "SLUICE_TABLE": store.table,
        }
        key = await create_key(folder, "--target", "aws", **operator)
        function = {"SLUICE_TABLE": store.table, "SLUICE_DYNAMODB_ENDPOINT": store.url}
        async with emulating(folder, **function) as url:
            checks = await found(url, key, "--connections", "4")
    assert failures(checks) == {}
    assert list(checks) == NAMES
    assert checks["disconnect"]["said"].startswith("settled in full")


async def _at_once(exchange: Exchange) -> None:
    """A provider whose whole stream comes in one piece, as through a proxy that collects it."""
    words = min(WORDS, json.loads(exchange.asked.body)["max_tokens"])
    events = [chunk({"content": "one "}) for _ in range(words)]
    usage = chunk({}, None, choices=[], usage=_usage(words))
    await exchange.send(HEAD, *events, chunk({}, "stop"), usage, b"data: [DONE]\n\n")
    exchange.close()


async def test_an_answer_that_is_collected_on_the_way(tmp_path: Path) -> None:
    """A stream that arrives in one piece fails, and the table says so; the other checks go on."""
    async with origin(_at_once) as provider:
        (tmp_path / "sluice.toml").write_text(SETTINGS.format(url=provider.url))
        key = await create_key(tmp_path)
        async with serving(tmp_path) as gateway:
            ended = await smoke(gateway.base_url, key, "--only", "health", "--only", "stream")
            await gateway.stop()
    assert ended.status == 1
    head, health, stream, verdict = ended.stdout.splitlines()
    assert head.endswith(gateway.base_url)
    assert health.startswith("ok  health  ")
    assert stream.startswith("!!  stream  ")
    assert "something on the way collects the answer" in stream
    assert verdict == "1 of 2 checks failed."
    assert health.index(" ms  ") == stream.index(" ms  ")


async def test_a_key_that_may_not(folder: Path) -> None:
    """A key without `keys:write` fails where keys are made, and nowhere else."""
    made = await run(folder, "keys", "create", "--user", "ada", "--json")
    async with serving(folder) as gateway:
        checks = await found(
            gateway.base_url,
            json.loads(made.stdout)["key"],
            *("--only", "errors", "--only", "limits", "--model", "demo"),
        )
        await gateway.stop()
    assert failures(checks) == {"limits": "no key can be made: 403 insufficient_permissions"}


async def test_nobody_there() -> None:
    """Where nothing listens, each says so, in order, with status 1."""
    checks = await found("http://127.0.0.1:1", "sk-sluice-x")
    assert list(checks) == ["health", "models"]
    assert all("refused" in said for said in failures(checks).values())


@pytest.mark.parametrize(
    ("key", "url", "told"),
    [
        ("", "http://127.0.0.1:1", "set SLUICE_KEY"),
        ("k", "llm.example.com", "--url is an address like https"),
    ],
    ids=["no key", "no address"],
)
async def test_used_wrongly(key: str, url: str, told: str) -> None:
    """Without a key or an address there is nothing to do: status 2."""
    ended = await smoke(url, key)
    assert ended.status == 2
    assert told in ended.stderr
