"""What applications do with their client, through Sluice: one suite over every client library."""

import asyncio
import json
from typing import Any, Final

import pytest

from common.gateway.delivery import EventStream
from common.model.usage import Outcome, Tokens
from tests.e2e.client import Client, records, task
from tests.e2e.provider_turns import DONE, begin, calling, saying, send, turns
from tests.support import answers
from tests.support.origin import Exchange, Origin
from tests.support.scripted import scripted, streaming

MEETING: Final = {"topic": "Budget", "people": ["Ada", "Grace"]}
PIECES: Final = ('{"topic": "Bud', 'get", "people', '": ["Ada", "Grace"]}')
PLACES: Final = ({"city": "Paris"}, {"city": "Zürich"})
USAGE: Final = [answers.USAGE["prompt_tokens"], answers.USAGE["completion_tokens"]]

either_way = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def asked(provider: Origin) -> list[Any]:
    """What the provider was asked, request by request."""
    return [json.loads(exchange.asked.body) for exchange in provider.exchanges]


async def test_whole(client: Client) -> None:
    """A plain answer: its text, why it ended, what it used."""
    async with scripted(saying("Hello.", streamed=False)) as gateway:
        seen = await client.play("whole", task(gateway))
        (record,) = await records(gateway)
    assert (seen["text"], seen["finish"], seen["usage"]) == ("Hello.", "stop", USAGE)
    assert (record.outcome, record.tokens) == (Outcome.OK, Tokens(input=9, output=2))


async def test_streamed(client: Client) -> None:
    """A stream arrives word by word, with its usage at the end."""
    async with scripted(saying("Hel", "lo", ".", streamed=True)) as gateway:
        seen = await client.play("streamed", task(gateway))
        (record,) = await records(gateway)
    assert (seen["pieces"], seen["finish"], seen["usage"]) == (["Hel", "lo", "."], "stop", USAGE)
    assert (record.outcome, record.tokens) == (Outcome.OK, Tokens(input=9, output=2))


async def test_image(client: Client) -> None:
    """An image within a message reaches the provider as OpenAI's part of that type."""
    async with scripted(saying("A dot.", streamed=False)) as gateway:
        seen = await client.play("image", task(gateway))
        ((message,),) = (body["messages"] for body in asked(gateway.provider))
    assert seen["text"] == "A dot."
    assert [part["type"] for part in message["content"]] == ["text", "image_url"]
    assert message["content"][1]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


@either_way
@pytest.mark.parametrize("places", [PLACES[:1], PLACES], ids=["single", "parallel"])
async def test_tools(client: Client, places: tuple[dict[str, str], ...], *, streamed: bool) -> None:
    """The client's own loop: the tool runs as often as the model calls it, and the model hears what came of it."""
    script = turns(calling("weather", places, streamed=streamed), saying("Sunny.", streamed=streamed))
    cities = [place["city"] for place in places]
    async with scripted(script) as gateway:
        seen = await client.play("streamedTools" if streamed else "tools", task(gateway))
        settled = await records(gateway, 2)
        first, second = asked(gateway.provider)
    assert "error" not in seen
    assert (seen["calls"], seen["text"]) == (cities, "Sunny.")
    assert first["tools"][0]["function"]["name"] == "weather"
    said = [message for message in second["messages"] if message["role"] == "tool"]
    assert [message["tool_call_id"] for message in said] == [f"call_{i}" for i in range(len(places))]
    assert all(city in message["content"] for city, message in zip(cities, said, strict=True))
    assert [record.outcome for record in settled] == [Outcome.OK, Outcome.OK]


@either_way
async def test_structured_output(client: Client, *, streamed: bool) -> None:
    """The client's schema reaches the provider, and its answer becomes the object that was asked for."""
    async with scripted(saying(*PIECES, streamed=streamed)) as gateway:
        seen = await client.play("streamedStructured" if streamed else "structured", task(gateway))
        (body,) = asked(gateway.provider)
    assert "error" not in seen
    assert seen["object"] == MEETING
    assert body["response_format"]["type"] == "json_schema"
    assert set(body["response_format"]["json_schema"]["schema"]["properties"]) == set(MEETING)


@pytest.mark.parametrize("words", [0, 2], ids=["before the first word", "in the middle"])
async def test_abort_of_a_stream(client: Client, words: int) -> None:
    """A client that gives up a stream has the provider's connection closed within a second, and one record says so."""
    silent = asyncio.Event()
    head, *spoken = answers.stream("Hel", "lo")[: words + 1]

    async def script(exchange: Exchange) -> None:
        await begin(exchange, head, *spoken)
        silent.set()
        await asyncio.wait_for(exchange.left.wait(), 5)

    async with scripted(script) as gateway:
        playing = asyncio.create_task(client.play("streamed", task(gateway, leave_at=words or None)))
        await silent.wait()
        if not words:
            client.abort()
        await asyncio.wait_for(gateway.provider.exchanges[0].left.wait(), 1)
        seen = await playing
        (record,) = await records(gateway)
    assert seen["pieces"] == ["Hel", "lo"][:words]
    assert (record.outcome, record.estimated) == (Outcome.CANCELLED, True)


async def test_abort_of_a_whole_answer(client: Client) -> None:
    """The same where the answer was to come in one piece."""
    working = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        working.set()
        await asyncio.wait_for(exchange.left.wait(), 5)

    async with scripted(script) as gateway:
        playing = asyncio.create_task(client.play("whole", task(gateway)))
        await working.wait()
        client.abort()
        await asyncio.wait_for(gateway.provider.exchanges[0].left.wait(), 1)
        seen = await playing
        (record,) = await records(gateway)
    assert "error" in seen
    assert record.outcome is Outcome.CANCELLED


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param([], id="cut"),
        pytest.param([DONE], id="no finish reason"),
        pytest.param([b'data: {"error": {"code": 429, "message": "busy"}}\n\n'], id="error event"),
    ],
)
async def test_broken_stream(client: Client, ending: list[bytes]) -> None:
    """A stream that is not whole ends in an error of the client's, after what was sound: never quietly."""
    async with scripted(streaming([*answers.stream("Hel", "lo")[:3], *ending])) as gateway:
        seen = await client.play("streamed", task(gateway))
        (record,) = await records(gateway)
    assert seen["pieces"] == ["Hel", "lo"]
    assert "The provider" in seen["error"]["message"]
    assert record.outcome is Outcome.UPSTREAM


async def test_stalled_stream(client: Client) -> None:
    """A provider that falls silent in the middle is an error too, and is left."""

    async def script(exchange: Exchange) -> None:
        await begin(exchange, *answers.stream("Hel")[:2])
        await asyncio.wait_for(exchange.left.wait(), 5)

    async with scripted(script, server="idle_timeout_s = 0.3") as gateway:
        seen = await client.play("streamed", task(gateway))
        await asyncio.wait_for(gateway.provider.exchanges[0].left.wait(), 1)
        (record,) = await records(gateway)
    assert seen["pieces"] == ["Hel"]
    assert "The provider" in seen["error"]["message"]
    assert record.outcome is Outcome.UPSTREAM


async def test_stream_that_begins_with_an_error(client: Client) -> None:
    """What fails before the first word is an HTTP error, whatever status the provider began with."""
    busy = b'data: {"error": {"code": 429, "message": "busy"}}\n\n'
    async with scripted(streaming([busy])) as gateway:
        seen = await client.play("streamed", task(gateway))
    assert (seen["pieces"], seen["error"]["status"]) == ([], 429)
    assert seen["error"]["code"] == "provider_rate_limited"


async def test_signs_of_life_are_not_heard(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments in a long silence, before the first word and after it, are nothing to the client."""
    sent = asyncio.Event()
    keep_alive = EventStream._keep_alive

    async def counted(stream: EventStream) -> None:
        await keep_alive(stream)
        sent.set()

    monkeypatch.setattr(EventStream, "_keep_alive", counted)

    async def script(exchange: Exchange) -> None:
        await begin(exchange)
        for event in answers.stream("Hel", "lo"):
            sent.clear()
            await asyncio.wait_for(sent.wait(), 5)
            await send(exchange, event)
        await exchange.send(b"0\r\n\r\n")

    async with scripted(script, server="keep_alive_s = 0.005") as gateway:
        seen = await client.play("streamed", task(gateway))
    assert "error" not in seen
    assert (seen["pieces"], seen["finish"], seen["usage"]) == (["Hel", "lo"], "stop", USAGE)
