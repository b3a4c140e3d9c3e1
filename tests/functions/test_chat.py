"""Chat completions over real sockets: the official client, the gateway's own server, a scripted provider."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from common.adapters.background import TaskBackground
from common.adapters.upstream.pooled import PooledUpstream
from common.model.usage import Outcome, Tokens, UsageRecord
from tests.support import answers
from tests.support.gateway import MemoryGateway, memory_gateway
from tests.support.origin import Exchange, Origin, origin
from tests.support.served import served

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
STREAMED = json.dumps({"model": "hello", "messages": ASK, "stream": True}).encode()
Script = Callable[[Exchange], Awaitable[None]]

TOML = """
[routing]
retries = 0
[providers.one]
kind = "openai"
base_url = "{url}/one"
api_key = "env:KEY"
[providers.two]
kind = "openai"
base_url = "{url}/two"
[models.hello]
targets = ["one/upstream-hello"]
[models.twice]
targets = ["one/first", "two/second"]
"""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a test looks at."""

    client: openai.AsyncOpenAI
    url: str
    held: MemoryGateway
    provider: Origin
    background: TaskBackground

    async def records(self, count: int = 1) -> Sequence[UsageRecord]:
        """Every settlement, once there are `count` and nothing is left to do."""
        async with asyncio.timeout(5):
            while len(self.held.meter.settled) < count:  # noqa: ASYNC110 - the gateway tells nobody that it has settled
                await asyncio.sleep(0.001)
        await self.background.drain(5)
        return self.held.meter.settled

    async def connect(
        self, *lines: str, body: bytes = b""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Post a completion by hand: these header lines after the key, then these bytes."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = ("POST /v1/chat/completions HTTP/1.1", "host: x", *lines, "", "")
        writer.write("\r\n".join(head).encode() + body)
        return reader, writer

    async def ask(self, body: bytes, *lines: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Post a completion with this body."""
        return await self.connect(self.authorization, f"content-length: {len(body)}", *lines, body=body)

    @property
    def authorization(self) -> str:
        """The header line of the key."""
        return f"authorization: Bearer {self.held.key}"


@asynccontextmanager
async def world(script: Script) -> AsyncIterator[World]:
    """A gateway whose providers play `script`."""
    upstream, background = PooledUpstream(), TaskBackground()
    async with origin(script) as provider:
        held = await memory_gateway(TOML.format(url=provider.url), upstream, {"KEY": "sk-provider"})
        async with (
            served(held.app(), background) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=held.key, max_retries=0) as client,
        ):
            yield World(client, url, held, provider, background)
        await upstream.close()


def whole(body: bytes, status: str = "200 OK") -> Script:
    """A provider that answers in one piece."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(body, status, "content-type: application/json", "set-cookie: a=b")

    return script


async def begin_stream(exchange: Exchange) -> None:
    """The head of a streamed answer."""
    await exchange.send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )


async def send_events(exchange: Exchange, events: Sequence[bytes]) -> None:
    """Each event as a chunk of its own."""
    for event in events:
        await exchange.send(b"%x\r\n%b\r\n" % (len(event), event))


def streaming(events: Sequence[bytes]) -> Script:
    """A provider that streams all events and ends in order."""

    async def script(exchange: Exchange) -> None:
        await begin_stream(exchange)
        await send_events(exchange, events)
        await exchange.send(b"0\r\n\r\n")

    return script


async def test_whole() -> None:
    """A plain answer arrives as the provider sent it, with our id and count, and without its cookies."""
    async with world(whole(answers.completion())) as w:
        answer = await w.client.chat.completions.with_raw_response.create(model="hello", messages=ASK)
        assert answer.content == answers.completion()
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.headers["x-sluice-attempts"] == "1"
        assert "set-cookie" not in answer.headers
        (record,) = await w.records()
        assert record.request_id == answer.headers["x-request-id"]
        assert (record.provider, record.upstream_model, record.outcome) == (
            "one",
            "upstream-hello",
            Outcome.OK,
        )
        assert (record.tokens, record.estimated) == (Tokens(input=9, output=2), False)


async def test_provider_is_asked_as_the_client_asked() -> None:
    """Only the model's name is replaced; unknown fields and the spelling of numbers stay. The key is the provider's."""
    async with world(whole(answers.completion())) as w:
        body = b'{"model": "hello", "top_k":1.0e1,"messages" :[{"role":"user","content":"\\u00e9"}], "new": [1,  2]}'
        await head_of(await w.ask(body))
        (asked,) = (exchange.asked for exchange in w.provider.exchanges)
        assert asked.target == "/one/chat/completions"
        assert asked.body == body.replace(b'"hello"', b'"upstream-hello"')
        assert asked.values("authorization") == ["Bearer sk-provider"]


async def head_of(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    """The head of the answer, and good-bye."""
    reader, writer = connection
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.close()
    return head


async def test_stream() -> None:
    """A stream arrives event by event, without the usage that nobody asked for, and is recorded with it."""
    async with world(streaming(answers.stream("Hel", "lo"))) as w:
        stream = await w.client.chat.completions.create(model="hello", messages=ASK, stream=True)
        chunks = [chunk async for chunk in stream]
        assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "Hel", "lo", None]
        assert all(chunk.usage is None for chunk in chunks)
        (record,) = await w.records()
        assert (record.tokens, record.streamed, record.outcome) == (
            Tokens(input=9, output=2),
            True,
            Outcome.OK,
        )
        assert json.loads(w.provider.exchanges[0].asked.body)["stream_options"] == {"include_usage": True}


async def test_stream_with_usage() -> None:
    """Whoever asks for the usage of a stream gets it, as its last event."""
    async with world(streaming(answers.stream("Hello"))) as w:
        stream = await w.client.chat.completions.create(
            model="hello", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 11


async def test_stream_comes_as_it_is_made() -> None:
    """The client has the first words while the provider is still thinking of the last."""
    read = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await begin_stream(exchange)
        first, rest = answers.stream("Hello")[:2], answers.stream("Hello")[2:]
        await send_events(exchange, first)
        await asyncio.wait_for(read.wait(), 10)
        await send_events(exchange, rest)
        await exchange.send(b"0\r\n\r\n")

    async with world(script) as w:
        stream = await w.client.chat.completions.create(model="hello", messages=ASK, stream=True)
        async for _ in stream:
            read.set()


def test_sync_client() -> None:
    """The synchronous client works as well."""

    async def main() -> None:
        async with world(streaming(answers.stream("Hello"))) as w:

            def ask() -> str:
                with openai.OpenAI(base_url=f"{w.url}/v1", api_key=w.held.key) as client:
                    stream = client.chat.completions.create(model="hello", messages=ASK, stream=True)
                    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

            assert await asyncio.to_thread(ask) == "Hello"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("events", "code"),
    [
        pytest.param(answers.stream("Hel")[:2], "provider_error", id="cut"),
        pytest.param(
            [*answers.stream("Hel")[:2], b"data: [DONE]\n\n"], "provider_error", id="no finish reason"
        ),
        pytest.param(
            [*answers.stream("Hel")[:2], b'data: {"error":{"code":429,"message":"busy"},"choices":[]}\n\n'],
            "provider_rate_limited",
            id="error event",
        ),
    ],
)
async def test_broken_stream(events: list[bytes], code: str) -> None:
    """A stream that is not whole ends with an error the official client raises, after what was sound."""
    async with world(streaming(events)) as w:
        stream = await w.client.chat.completions.create(model="hello", messages=ASK, stream=True)
        assert (await anext(stream)).choices[0].delta.content == ""
        assert (await anext(stream)).choices[0].delta.content == "Hel"
        with pytest.raises(openai.APIError) as caught:
            await anext(stream)
        assert caught.value.code == code
        (record,) = await w.records()
        assert (record.outcome, record.estimated) == (Outcome.UPSTREAM, True)
        assert record.tokens.output > 0


async def test_connection_lost_in_a_stream() -> None:
    """A connection that breaks off is a broken stream too."""

    async def script(exchange: Exchange) -> None:
        await begin_stream(exchange)
        await send_events(exchange, answers.stream("Hel")[:2])
        exchange.close()

    async with world(script) as w:
        stream = await w.client.chat.completions.create(model="hello", messages=ASK, stream=True)
        with pytest.raises(openai.APIError):
            [_ async for _ in stream]


async def test_missing_done_is_added() -> None:
    """An answer that is whole but for the protocol's last word gets it from us."""
    async with world(streaming(answers.stream("Hello")[:-1])) as w:
        reader, writer = await w.ask(STREAMED, "connection: close")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "failing",
    [
        pytest.param(whole(b"{}", "500 Internal Server Error"), id="500"),
        pytest.param(whole(b'{"error":{"message":"busy"}}', "429 Too Many Requests"), id="429"),
        pytest.param(whole(b'{"error":{"message":"who?"}}', "401 Unauthorized"), id="401"),
        pytest.param(whole(b"<html>", "200 OK"), id="html"),
        pytest.param(whole(b'{"error":{"code":502,"message":"x"}}', "200 OK"), id="200 with an error"),
    ],
)
async def test_fallback(failing: Script, *, streamed: bool) -> None:
    """While nothing has gone to the client, the next candidate answers."""
    good = streaming(answers.stream("Hello")) if streamed else whole(answers.completion("Hello"))

    async def script(exchange: Exchange) -> None:
        await (failing if exchange.asked.target.startswith("/one/") else good)(exchange)

    async with world(script) as w:
        if streamed:
            stream = await w.client.chat.completions.create(model="twice", messages=ASK, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        else:
            answer = await w.client.chat.completions.create(model="twice", messages=ASK)
            text = answer.choices[0].message.content or ""
        assert text == "Hello"
        (record,) = await w.records()
        assert (record.attempts, record.provider, record.outcome) == (2, "two", Outcome.OK)


async def test_rejection_is_final() -> None:
    """What a provider calls wrong with the request reaches the client with its meaning, and nobody else is asked."""
    body = b'{"error":{"message":"too odd","param":"messages","code":"invalid_value"}}'
    async with world(whole(body, "400 Bad Request")) as w:
        with pytest.raises(openai.BadRequestError) as caught:
            await w.client.chat.completions.create(model="twice", messages=ASK)
        assert (caught.value.code, caught.value.param) == ("invalid_value", "messages")
        assert "too odd" in caught.value.message
        assert caught.value.response.headers["x-sluice-attempts"] == "1"
        (record,) = await w.records()
        assert (record.outcome, record.tokens) == (Outcome.CLIENT, Tokens())


async def test_all_candidates_fail() -> None:
    """What they failed of is the answer, and who was asked."""
    async with world(whole(b"oops", "503 Service Unavailable")) as w:
        with pytest.raises(openai.InternalServerError) as caught:
            await w.client.chat.completions.create(model="twice", messages=ASK)
        assert caught.value.response.status_code == 502
        assert caught.value.response.headers["x-sluice-attempts"] == "2"
        assert "Tried: one/first (provider_error), two/second (provider_error)." in caught.value.message
        (record,) = await w.records()
        assert (record.outcome, record.attempts) == (Outcome.UPSTREAM, 2)


@pytest.mark.parametrize("words", [[], ["Hel"]], ids=["before the first byte", "in the middle"])
async def test_client_leaves(words: list[str]) -> None:
    """The provider's connection is closed within a second of the client's, and one record says so."""
    asked = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if words:
            await begin_stream(exchange)
            await send_events(exchange, answers.stream(*words)[:2])
        asked.set()
        await asyncio.wait_for(exchange.left.wait(), 5)

    async with world(script) as w:
        reader, writer = await w.ask(STREAMED)
        await asked.wait()
        if words:
            await reader.readuntil(b"Hel")
        writer.close()
        await asyncio.wait_for(w.provider.exchanges[0].left.wait(), 1)
        (record,) = await w.records()
        assert (record.outcome, record.estimated) == (Outcome.CANCELLED, True)
        assert bool(record.tokens.output) == bool(words)


async def test_key_is_checked_before_the_body() -> None:
    """A stranger is refused without being heard out."""
    async with world(whole(answers.completion())) as w:
        head = await head_of(await w.connect("content-length: 1000000", body=b"{"))
        assert head.startswith(b"HTTP/1.1 401")
        assert w.provider.exchanges == []


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_body_too_large(*, announced: bool) -> None:
    """A body that is too long is refused as soon as that is known."""
    async with world(whole(answers.completion())) as w:
        if announced:
            connection = await w.connect(w.authorization, "content-length: 100000000")
        else:
            piece = b"%x\r\n%b\r\n" % (2**20, b"x" * 2**20)
            connection = await w.connect(w.authorization, "transfer-encoding: chunked", body=piece * 21)
        assert (await head_of(connection)).startswith(b"HTTP/1.1 413")


async def test_unknown_model() -> None:
    """A model that is not configured is a 404 which the official client knows, and is not recorded."""
    async with world(whole(answers.completion())) as w:
        with pytest.raises(openai.NotFoundError) as caught:
            await w.client.chat.completions.create(model="nope", messages=ASK)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        assert not await w.records(0)


async def test_models() -> None:
    """The official client lists what is configured."""
    async with world(whole(b"")) as w:
        assert [model.id async for model in w.client.models.list()] == ["hello", "twice"]


async def test_wrong_key() -> None:
    """The official client raises its own class."""
    async with world(whole(b"")) as w:
        stranger = w.client.with_options(api_key="sk-nobody")
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()


async def test_many_at_once() -> None:
    """A hundred streams at a time are all whole, and each is recorded once."""
    async with world(streaming(answers.stream("Hel", "lo"))) as w:

        async def ask() -> str:
            stream = await w.client.chat.completions.create(model="hello", messages=ASK, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        assert set(await asyncio.gather(*(ask() for _ in range(100)))) == {"Hello"}
        records = await w.records(100)
        assert len({record.request_id for record in records}) == len(records) == 100
