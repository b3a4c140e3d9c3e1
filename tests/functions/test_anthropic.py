"""Anthropic's Messages API behind the gateway, over real sockets, with the official `openai` client before it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import openai
import pytest
from openai.types.chat import ChatCompletionMessage, ChatCompletionMessageParam, ChatCompletionToolUnionParam

from common.adapters.background import TaskBackground
from common.adapters.upstream.pooled import PooledUpstream
from common.model.usage import Outcome, Tokens, UsageRecord
from tests.support.anthropic import Play, answering, fail, messages_api
from tests.support.gateway import MemoryGateway, memory_gateway
from tests.support.origin import Exchange, Origin, origin
from tests.support.served import served

ASK: Final[list[ChatCompletionMessageParam]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Say hello." + " Please." * 400},
]
TOOLS: Final[list[ChatCompletionToolUnionParam]] = [
    {
        "type": "function",
        "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
    }
]
TOML: Final = """
{more}
[providers.claude]
kind = "anthropic"
base_url = "{url}/v1"
api_key = ["env:ONE", "env:TWO"]
[models.sonnet]
targets = ["claude/claude-sonnet-4-5"]
price = {{ input = "3", output = "15", cache_read = "0.30", cache_write = "3.75" }}
context_length = 200_000
max_output_tokens = 64_000
"""
KEYS: Final = ("sk-ant-1", "sk-ant-2")


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a test looks at."""

    client: openai.AsyncOpenAI
    held: MemoryGateway
    provider: Origin
    background: TaskBackground

    async def record(self) -> UsageRecord:
        """The last settlement, once nothing is left to do."""
        async with asyncio.timeout(5):
            while not self.held.meter.settled:  # noqa: ASYNC110 - the gateway tells nobody that it has settled
                await asyncio.sleep(0.001)
        await self.background.drain(5)
        return self.held.meter.settled[-1]

    @property
    def asked(self) -> Sequence[Any]:
        """The requests that the provider got."""
        return [json.loads(exchange.asked.body) for exchange in self.provider.exchanges]


@asynccontextmanager
async def world(play: Play, more: str = "") -> AsyncIterator[World]:
    """A gateway before Anthropic, which plays `play`."""
    upstream, background = PooledUpstream(), TaskBackground()
    async with origin(messages_api(play, keys=KEYS)) as provider:
        variables = dict(zip(("ONE", "TWO"), KEYS, strict=True))
        held = await memory_gateway(TOML.format(url=provider.url, more=more), upstream, variables)
        async with (
            served(held.app(), background) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=held.key, max_retries=0) as client,
        ):
            yield World(client, held, provider, background)
        await upstream.close()


async def test_whole() -> None:
    """An answer in one piece arrives as a completion; what it used is booked as it was told."""
    async with world(answering("text")) as w:
        answer = await w.client.chat.completions.create(model="sonnet", messages=ASK, max_tokens=100)
        record = await w.record()
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello, Zürich.", "stop")
    assert answer.created == pytest.approx(time.time(), abs=60)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (25, 15)
    (asked,) = w.asked
    assert (asked["model"], asked["max_tokens"]) == ("claude-sonnet-4-5", 100)
    assert asked["system"] == [{"type": "text", "text": "Be brief."}]
    assert (record.outcome, record.estimated, record.tokens) == (
        Outcome.OK,
        False,
        Tokens(input=25, output=15),
    )
    assert record.route[0].provider_request_id == answer.id
    assert record.cost_nanousd == (25 * 3 + 15 * 15) * 1_000


async def test_maximum_of_the_catalog() -> None:
    """Where the client names no maximum, which the API must be told, it is the model's."""
    async with world(answering("text")) as w:
        await w.client.chat.completions.create(model="sonnet", messages=ASK)
    assert w.asked[0]["max_tokens"] == 64_000


@pytest.mark.parametrize("show_usage", [True, False], ids=["usage shown", "usage hidden"])
async def test_streamed(show_usage: bool) -> None:  # noqa: FBT001
    """A stream arrives word by word, its thoughts beside it; a cache is booked at the prices of a cache."""
    texts: list[str] = []
    usages = []
    async with world(answering("thinking")) as w:
        stream = await w.client.chat.completions.create(
            model="sonnet",
            messages=ASK,
            max_tokens=4_000,
            reasoning_effort="medium",
            stream=True,
            stream_options={"include_usage": show_usage},
        )
        thoughts = []
        async for chunk in stream:
            texts += [choice.delta.content or "" for choice in chunk.choices]
            thoughts += [getattr(choice.delta, "reasoning", "") for choice in chunk.choices]
            usages += [chunk.usage] if chunk.usage else []
        record = await w.record()
    assert "".join(texts) == "The greatest common divisor is 21."
    assert "".join(thoughts) == "I need the GCD of 1071 and 462.\n1071 = 2 x 462 + 147"
    assert [usage.prompt_tokens for usage in usages] == ([1374] if show_usage else [])
    assert w.asked[0]["thinking"] == {"type": "enabled", "budget_tokens": 2_000}
    expected = Tokens(input=50, cache_read=1024, cache_write=300, output=36, reasoning=60)
    assert (record.tokens, record.estimated) == (expected, False)
    assert record.cost_nanousd == 50 * 3_000 + 1024 * 300 + 300 * 3_750 + 96 * 15_000


@pytest.mark.parametrize("streamed", [True, False])
async def test_tools(streamed: bool) -> None:  # noqa: FBT001
    """A tool that the model calls is answered as with OpenAI, and the model goes on from that."""
    async with world(answering("parallel_tools" if streamed else "tool_use", "text")) as w:
        completions = w.client.chat.completions
        if streamed:
            async with completions.stream(model="sonnet", messages=ASK, tools=TOOLS) as stream:
                message: ChatCompletionMessage = (await stream.get_final_completion()).choices[0].message
        else:
            made = await completions.create(model="sonnet", messages=ASK, tools=TOOLS)
            assert made.choices[0].finish_reason == "tool_calls"
            message = made.choices[0].message
        calls = [call for call in message.tool_calls or () if call.type == "function"]
        said: Any = message.model_dump(exclude_none=True, exclude={"parsed"})
        results: list[ChatCompletionMessageParam] = [
            {"role": "tool", "tool_call_id": call.id, "content": "12 °C"} for call in calls
        ]
        await completions.create(model="sonnet", messages=[*ASK, said, *results], tools=TOOLS)
    assert len(calls) == 2
    (first, second) = w.asked
    assert first["tools"][0]["name"] == "get_weather"
    results_sent = second["messages"][-1]["content"]
    assert [block["tool_use_id"] for block in results_sent] == [call.id for call in calls]
    used = [block for block in second["messages"][-2]["content"] if block["type"] == "tool_use"]
    given = [json.loads(call.function.arguments) for call in calls]
    assert [block["input"] for block in used] == given


async def test_too_long() -> None:
    """That the input is too long is told in OpenAI's words."""

    async def play(exchange: Exchange, _: Any) -> None:
        await fail(
            exchange, "400 Bad Request", "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"
        )

    async with world(play) as w:
        with pytest.raises(openai.BadRequestError) as raised:
            await w.client.chat.completions.create(model="sonnet", messages=ASK)
        record = await w.record()
    assert raised.value.code == "context_length_exceeded"
    assert (record.cost_nanousd, record.tokens) == (0, Tokens())
    assert record.route[0].provider_request_id == "req_011"


async def test_what_is_left_out_is_told() -> None:
    """Members that the API has no word for are named in a header, or refused where the operator wants it so."""
    async with world(answering("text")) as w:
        create = w.client.chat.completions.with_raw_response.create
        answer = await create(model="sonnet", messages=ASK, max_tokens=100, seed=1, temperature=0.5)
        assert answer.headers["x-sluice-dropped"] == "seed"
        assert w.asked[0]["temperature"] == 0.5
    async with world(answering("text"), "[routing]\ndrop_params = false") as w:
        with pytest.raises(openai.BadRequestError) as raised:
            await w.client.chat.completions.create(model="sonnet", messages=ASK, seed=1)
        assert not w.provider.exchanges
    assert raised.value.param == "seed"


async def test_what_cannot_be_said() -> None:
    """A request that the API has no words for is refused before it is sent, and names the member."""
    async with world(answering("text")) as w:
        with pytest.raises(openai.BadRequestError) as raised:
            await w.client.chat.completions.create(model="sonnet", messages=ASK, n=2)
        assert not w.provider.exchanges
    assert (raised.value.param, raised.value.code) == ("n", "unsupported_parameter")


async def test_overloaded_in_the_middle() -> None:
    """A stream that breaks off says so, and what came of it is booked."""
    texts: list[str] = []
    async with world(answering("overloaded")) as w:
        stream = await w.client.chat.completions.create(
            model="sonnet", messages=ASK, stream=True, max_tokens=10
        )
        failure = None
        try:
            async for chunk in stream:
                texts += [choice.delta.content or "" for choice in chunk.choices]
        except openai.APIError as error:
            failure = error.message
        record = await w.record()
    assert failure == "The provider failed: Overloaded"
    assert "".join(texts).startswith("Hel")
    assert (record.outcome, record.estimated) == (Outcome.UPSTREAM, True)


async def test_a_key_at_its_limit_is_left_at_rest() -> None:
    """While one key has met its limit, the other answers, from the same request on."""

    async def play(exchange: Exchange, body: Any) -> None:
        if exchange.asked.values("x-api-key") == [KEYS[0]]:
            await fail(
                exchange, "429 Too Many Requests", "rate_limit_error", f"{KEYS[0]}!", "retry-after: 60"
            )
            return
        await answering("text")(exchange, body)

    async with world(play) as w:
        create = w.client.chat.completions.create
        for _ in range(5):
            answer = await create(model="sonnet", messages=ASK, max_tokens=100)
            assert answer.choices[0].message.content == "Hello, Zürich."
        used = [exchange.asked.values("x-api-key")[0] for exchange in w.provider.exchanges]
    assert used == [KEYS[0], *[KEYS[1]] * 5]
