"""The official client for Python without asyncio: its own ways to read, and to leave."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import openai
import pytest

from common.model.usage import Outcome
from tests.e2e.client import records
from tests.e2e.provider_turns import DONE, begin, calling, saying
from tests.e2e.python_client import WEATHER, Meeting, Place
from tests.support import answers
from tests.support.answers import chunk
from tests.support.origin import Exchange
from tests.support.scripted import REQUEST, ScriptedGateway, scripted, streaming

MEETING: Final = '{"topic": "Budget", "people": ["Ada"]}'


async def by(gateway: ScriptedGateway, act: Callable[[Any], Any]) -> Any:
    """What `act` makes of a client's completions, in a thread of its own."""

    def run() -> Any:
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.held.key, max_retries=0) as client:
            return act(client.chat.completions)

    return await asyncio.to_thread(run)


async def test_raw_response() -> None:
    """`with_raw_response` shows the headers, and parses the same answer."""

    def act(completions: Any) -> None:
        raw = completions.with_raw_response.create(**REQUEST)
        assert raw.headers["x-request-id"] == raw.request_id
        assert raw.parse().choices[0].message.content == "Hello."

    async with scripted(saying("Hello.", streamed=False)) as gateway:
        await by(gateway, act)


async def test_streaming_response() -> None:
    """`with_streaming_response` reads the events as lines, as they stand on the wire."""

    def act(completions: Any) -> list[str]:
        with completions.with_streaming_response.create(**REQUEST, stream=True) as response:
            return [line for line in response.iter_lines() if line]

    async with scripted(saying("Hello.", streamed=True)) as gateway:
        lines = await by(gateway, act)
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


async def test_parse() -> None:
    """`parse` makes the answer the model's class."""
    async with scripted(saying(MEETING, streamed=False)) as gateway:
        answer = await by(gateway, lambda chat: chat.parse(**REQUEST, response_format=Meeting))
    assert answer.choices[0].message.parsed == Meeting(topic="Budget", people=["Ada"])


async def test_stream_helper() -> None:
    """`stream` tells of each fragment of a tool's arguments, and puts them together."""

    def act(completions: Any) -> Any:
        with completions.stream(**REQUEST, tools=[WEATHER]) as stream:
            fragments = [
                event.arguments_delta
                for event in stream
                if event.type == "tool_calls.function.arguments.delta"
            ]
            return fragments, stream.get_final_completion().choices[0].message.tool_calls

    async with scripted(calling("weather", [{"city": "Paris"}], streamed=True)) as gateway:
        fragments, (call,) = await by(gateway, act)
    assert len(fragments) > 2
    assert "".join(fragments) == call.function.arguments
    assert call.function.parsed_arguments == Place(city="Paris")


async def test_choices() -> None:
    """Two answers to one question, with their probabilities, keep apart in one stream."""

    def event(index: int, text: str, *, last: bool = False) -> bytes:
        delta = {"role": "assistant", "content": text}
        logprobs = {"content": [{"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []}]}
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": "stop" if last else None,
        }
        return chunk({}, choices=[choice], service_tier="default", system_fingerprint="fp_1")

    def act(completions: Any) -> Any:
        with completions.stream(**REQUEST, n=2, logprobs=True) as stream:
            chunks = [event.chunk for event in stream if event.type == "chunk"]
            return chunks, stream.get_final_completion()

    events = [event(0, "He"), event(1, "Good "), event(1, "day.", last=True), event(0, "llo.", last=True)]
    async with scripted(streaming([*events, DONE])) as gateway:
        chunks, answer = await by(gateway, act)
    assert [choice.message.content for choice in answer.choices] == ["Hello.", "Good day."]
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert [choice.logprobs.content[0].token for choice in choices] == ["He", "Good ", "day.", "llo."]
    assert (answer.service_tier, answer.system_fingerprint) == ("default", "fp_1")


@pytest.mark.parametrize("close", [True, False], ids=["closed", "left by its block"])
async def test_stream_that_is_closed(*, close: bool) -> None:
    """Closing a stream before its end closes the provider's, within a second."""

    async def script(exchange: Exchange) -> None:
        await begin(exchange, *answers.stream("Hel")[:2])
        await asyncio.wait_for(exchange.left.wait(), 5)

    def act(completions: Any) -> None:
        stream = completions.create(**REQUEST, stream=True)
        if close:
            next(stream)
            stream.close()
        else:
            with stream:
                next(stream)

    async with scripted(script) as gateway:
        await by(gateway, act)
        await asyncio.wait_for(gateway.provider.exchanges[0].left.wait(), 1)
        (record,) = await records(gateway)
    assert record.outcome is Outcome.CANCELLED
