"""Chat on Lambda's emulator: the function in processes that freeze, its meter in DynamoDB, a scripted provider.

Keys and users are in memory: `test_aws_keys.py` has them in the table. The client is the official one, or a raw socket.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from common.access.api_key import RANDOM_BYTES, new_key
from common.adapters.clock import SystemClock
from common.metering.standing import COMMITTED_TOTAL, Standing
from common.model.admission import HOLD_S
from common.model.limits import Limits
from common.model.usage import Outcome, Tokens, UsageRecord
from tests.support import answers
from tests.support.dynamodb import ENDPOINT, LocalDynamo, moto, open_dynamo
from tests.support.emulator import PATIENCE_S, Emulated, Streaming, calling, emulated
from tests.support.gateway import UNKNOWN_KEY
from tests.support.metered import World, principal
from tests.support.origin import Exchange, Origin, Script, origin
from tests.support.wire import request

KEY: Final = new_key(bytes(range(RANDOM_BYTES)))
ROW: Final = "key:key_0"
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
ASK: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "Say hello."}]
STREAMED: Final = json.dumps({"model": "demo", "messages": ASK, "stream": True, "max_tokens": 100}).encode()
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ROLE, FIRST, *MIDDLE, USAGE, DONE = answers.stream("Hel", "lo")
OPENING = ROLE + FIRST  # what comes before the first content is held back
USED: Final = Tokens(input=9, output=2)
COST: Final = 9 * 1_000 + 2 * 2_000  # nano-dollars


def chunked(*pieces: bytes) -> bytes:
    """Pieces of a body as they go over the wire."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


@dataclass(frozen=True, slots=True)
class Deployed:
    """The function, its client, what it keeps, and the provider behind it."""

    lambda_: Emulated
    client: openai.AsyncOpenAI
    store: LocalDynamo
    provider: Origin

    async def records(self) -> list[UsageRecord]:
        """All, once every process is frozen."""
        await self.lambda_.is_quiet()
        return await self.store.records()

    async def standing(self) -> Standing:
        """The key's row."""
        (standing,) = await self.store.rows().read([ROW])
        return standing

    async def begin(self, wire: Streaming) -> None:
        """Ask for a stream over a raw socket, and read its first event."""
        lines = (f"authorization: Bearer {KEY}", "content-type: application/json")
        await wire.send(request("POST", "/v1/chat/completions", *lines, body=STREAMED))
        assert await wire.head() == 200
        assert await wire.piece() == OPENING


@asynccontextmanager
async def deployed(
    script: Script, folder: Path, *, name: str = "chat_completions", timeout_s: float = 900, **variables: str
) -> AsyncIterator[Deployed]:
    """Deploy chat or another function, with `script` as its provider."""
    async with open_dynamo(ENDPOINT or moto()) as store, origin(script) as provider:
        (folder / "sluice.toml").write_text(SETTINGS.format(url=provider.url))
        named = {
            "SLUICE_TABLE": store.table,
            "SLUICE_DYNAMODB_ENDPOINT": store.url,
            "SLUICE_TEST_KEYS": json.dumps([{"key": KEY, "plan": "limited"}]),
        }
        handler = f"tests.support.on_lambda.{name}"
        async with (
            emulated(handler, variables=named | variables, folder=folder, timeout_s=timeout_s) as lambda_,
            openai.AsyncOpenAI(api_key=KEY, base_url=f"{lambda_.url}/v1", max_retries=0) as client,
        ):
            yield Deployed(lambda_, client, store, provider)


class Held:
    """A provider whose streams begin at once, and end when the test says so."""

    def __init__(self, streams: int = 1) -> None:
        self._streams = streams
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        """The script."""
        await exchange.send(HEAD, chunked(OPENING))
        self._streams -= 1
        if self._streams == 0:
            self.begun.set()
        await self.go_on.wait()
        await exchange.send(chunked(*MIDDLE, USAGE, DONE, b""))


async def whole(exchange: Exchange) -> None:
    """A whole answer."""
    await exchange.answer(answers.completion("Hello."), "200 OK", "content-type: application/json")


# -- answers -----------------------------------------------------------------------------------------------------------


async def test_first_event_arrives_before_the_provider_sends_the_last(tmp_path: Path) -> None:
    """The official client reads the first chunk while the provider holds back the rest; one record is left."""
    provider = Held()
    async with deployed(provider, tmp_path) as function:
        stream = await function.client.chat.completions.create(
            model="demo", messages=ASK, stream=True, max_tokens=100
        )
        first = await anext(stream)
        assert first.choices[0].delta.role == "assistant"
        provider.go_on.set()
        words = [chunk.choices[0].delta.content or "" async for chunk in stream]
        [record] = await function.records()
        standing = await function.standing()
    assert "".join(words) == "Hello"
    assert (record.outcome, record.tokens, record.cost_nanousd) == (Outcome.OK, USED, COST)
    assert (standing.holds, standing.counts[COMMITTED_TOTAL]) == ({}, COST)


async def test_frozen_with_nothing_unsettled(tmp_path: Path) -> None:
    """After each answer the process is frozen, with the record written and no hold left; it serves the next."""
    async with deployed(whole, tmp_path) as function:
        for number in range(1, 4):
            answer = await function.client.chat.completions.create(model="demo", messages=ASK, max_tokens=100)
            assert answer.choices[0].message.content == "Hello."
            assert len(await function.records()) == number
            standing = await function.standing()
            assert (standing.holds, standing.counts[COMMITTED_TOTAL]) == ({}, number * COST)
        [environment] = function.lambda_.emulator.environments
        assert environment.invocations == 3


TOOLS: Final[list[ChatCompletionToolParam]] = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
]
CALLED: Final = {"name": "weather", "arguments": '{"city":"Paris"}'}


async def call_tool(exchange: Exchange) -> None:
    """Ask for the tool, in a stream."""
    opening = {
        "role": "assistant",
        "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": CALLED}],
    }
    end = (answers.chunk({}, "tool_calls"), answers.chunk({}, None, choices=[], usage=answers.USAGE), DONE)
    await exchange.send(HEAD, chunked(answers.chunk(opening), *end, b""))


async def test_tools(tmp_path: Path) -> None:
    """Tools go to the provider as they were given, and its calls come back."""
    async with deployed(call_tool, tmp_path) as function:
        stream = await function.client.chat.completions.create(
            model="demo", messages=ASK, tools=TOOLS, stream=True, max_tokens=100
        )
        chunks = [chunk async for chunk in stream]
        asked = json.loads(function.provider.exchanges[0].asked.body)
    calls = chunks[0].choices[0].delta.tool_calls
    assert calls
    assert calls[0].function
    assert (calls[0].id, calls[0].function.name) == ("call_1", "weather")
    assert calls[0].function.arguments == CALLED["arguments"]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert asked["tools"] == TOOLS


# -- refusals and failures ---------------------------------------------------------------------------------------------


async def test_errors(tmp_path: Path) -> None:
    """A wrong key, a wrong request and a provider that fails are errors that the official client knows."""

    async def fail(exchange: Exchange) -> None:
        await exchange.answer(
            b'{"error":{"message":"no"}}', "503 Unavailable", "content-type: application/json"
        )

    async with deployed(fail, tmp_path) as function:
        create = function.client.chat.completions.create
        stranger = function.client.with_options(api_key=UNKNOWN_KEY).chat.completions
        with pytest.raises(openai.AuthenticationError):
            await stranger.create(model="demo", messages=ASK)
        with pytest.raises(openai.NotFoundError):
            await create(model="other", messages=ASK)
        with pytest.raises(openai.BadRequestError):
            await create(model="demo", messages=ASK, temperature="hot")  # type: ignore[call-overload]
        with pytest.raises(openai.InternalServerError) as failed:
            await create(model="demo", messages=ASK, stream=True, max_tokens=100)
        assert failed.value.status_code == 502
        [record] = await function.records()
        assert (record.outcome, (await function.standing()).holds) == (Outcome.UPSTREAM, {})


async def test_store_out_of_reach(tmp_path: Path) -> None:
    """Without the store nothing is sent to the provider: 503, with a time to come back."""
    async with deployed(whole, tmp_path, SLUICE_DYNAMODB_ENDPOINT="http://127.0.0.1:1") as function:
        with pytest.raises(openai.InternalServerError) as failed:
            await function.client.chat.completions.create(model="demo", messages=ASK, max_tokens=100)
        assert failed.value.status_code == 503
        assert "retry-after" in failed.value.response.headers
        assert function.provider.exchanges == []


async def test_timeout_shorter_than_the_answer(tmp_path: Path) -> None:
    """Shortly before the function's time is up, its stream ends with an error event, and what was used is settled."""
    async with deployed(Held(), tmp_path, timeout_s=3) as function, calling(function.lambda_.url) as wire:
        await function.begin(wire)
        event = await wire.piece()
        assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == "deadline_near"
        assert await wire.piece() == b""
        [record] = await function.records()
        assert (record.outcome, record.estimated) == (Outcome.GATEWAY, True)
        assert (await function.standing()).holds == {}


async def test_killed_mid_stream(tmp_path: Path) -> None:
    """A process that is killed leaves its hold; when that has expired, the next admission books it as spent."""
    async with deployed(Held(), tmp_path) as function, calling(function.lambda_.url) as wire:
        await function.begin(wire)
        [pid] = function.lambda_.pids
        os.kill(pid, signal.SIGKILL)
        assert await wire.is_closed()
        await function.lambda_.has_ended(pid)
        left = await function.standing()
        [hold] = left.alive(SystemClock().now_ms())
        assert left.counts[COMMITTED_TOTAL] == hold.cost_nanousd > COST
        later = World(function.store.rows(), SystemClock().now_ms() + (HOLD_S + 60) * 1000).instance()
        await later.admit(principal(Limits(budget_total=5 * 10**9), key_id="key_0"))
        [record] = await function.store.records()
        standing = await function.standing()
    assert (record.request_id, record.abandoned, record.estimated) == (hold.id, True, True)
    assert record.cost_nanousd == hold.cost_nanousd
    assert hold.id not in standing.holds
    assert standing.counts[COMMITTED_TOTAL] == hold.cost_nanousd


async def test_scheduled_job(tmp_path: Path) -> None:
    """An event of a schedule runs the job: it books the expired hold of a key that does not come back."""
    async with deployed(whole, tmp_path, name="sweep") as function:
        long_ago = World(function.store.rows(), SystemClock().now_ms() - 2 * HOLD_S * 1000).instance()
        limits = Limits(budget_total=5 * 10**9)
        held = await long_ago.admit(principal(limits, key_id="key_0"), cost=COST)
        assert await function.lambda_.trigger({"source": "aws.events"}) == {"booked as spent": 1}
        [record] = await function.records()
    assert (record.request_id, record.abandoned, record.cost_nanousd) == (held.ask.request_id, True, COST)


# -- many --------------------------------------------------------------------------------------------------------------


async def test_twenty_streams_at_once(tmp_path: Path) -> None:
    """Twenty streams run in twenty processes, all of them begun before one has ended; all are settled, each once."""
    count = 20
    provider = Held(count)

    async def one(function: Deployed) -> str:
        stream: Any = await function.client.chat.completions.create(
            model="demo", messages=ASK, stream=True, max_tokens=100
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async with deployed(provider, tmp_path) as function:
        # started beforehand: twenty starts leave the store too little of two cores
        stranger = function.client.with_options(api_key=UNKNOWN_KEY).models
        await asyncio.gather(*(stranger.list() for _ in range(count)), return_exceptions=True)
        await function.lambda_.is_quiet()
        streams = [asyncio.create_task(one(function)) for _ in range(count)]
        async with asyncio.timeout(PATIENCE_S):
            await provider.begun.wait()
        assert len(set(function.lambda_.pids)) == count
        provider.go_on.set()
        assert await asyncio.gather(*streams) == ["Hello"] * count
        records = await function.records()
        standing = await function.standing()
    assert len({record.request_id for record in records}) == count
    assert sum(record.cost_nanousd for record in records) == standing.counts[COMMITTED_TOTAL] == count * COST
    assert standing.holds == {}
