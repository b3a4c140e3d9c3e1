"""The Workers' own code in Pyodide, on the real D1, behind HTTP: the official client, a scripted provider.

All tests share one deployment, with a key for each; what the platform itself does is in `tests/edge/serve.mjs`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx2
import openai
import pytest
import pytest_asyncio

from common.model.principal import Permission
from common.model.usage import Outcome, Tokens
from common.providers.cloudflare_ai_gateway import PASSES_ON
from tests.e2e.client import Task
from tests.e2e.node_client import NodeClient
from tests.e2e.provider_turns import calling, saying, turns
from tests.edge.deployed import (
    ASK,
    END,
    HEAD,
    MAX_BODY_BYTES,
    Deployed,
    ask,
    chunked,
    deployed,
    streaming,
    whole,
)
from tests.support import answers
from tests.support.origin import Exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployed]:
    """The deployment."""
    async with deployed(tmp_path_factory.mktemp("workers")) as opened:
        yield opened


# -- answers -----------------------------------------------------------------------------------------------------------


async def test_whole_answer(world: Deployed) -> None:
    """A whole answer comes byte for byte, and its record is settled by `waitUntil`."""
    await world.play(whole)
    answer = await ask(await world.client())
    assert answer.content == answers.completion("Hello.")
    assert answer.headers["content-type"] == "application/json"
    [asked] = world.provider.exchanges
    assert (asked.asked.target, asked.asked.values("authorization")) == (
        "/one/chat/completions",
        ["Bearer sk-provider"],
    )
    record = await world.record(answer.headers["x-request-id"])
    assert record is not None
    assert (record.outcome, record.tokens, record.estimated) == (Outcome.OK, Tokens(input=9, output=2), False)
    assert record.cost_nanousd == 9 * 1_000 + 2 * 10_000


async def test_each_piece_is_out_before_the_provider_sends_the_next(world: Deployed) -> None:
    """From the first content on, the client has every event while the provider still holds back the next.

    Usage is read, and not shown.
    """
    wanted: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(exchange: Exchange) -> None:
        await exchange.send(HEAD)
        while piece := await wanted.get():
            await exchange.send(chunked(piece))
        await exchange.send(END)

    await world.play(script)
    opening, first, *middle, usage, done = answers.stream("Hel", "lo")
    wanted.put_nowait(opening)
    wanted.put_nowait(first)
    client = await world.client()
    answer = await client.chat.completions.with_raw_response.create(model="hello", messages=ASK, stream=True)
    events = answer.parse()
    texts = [(await anext(events)).choices[0].delta.content for _ in range(2)]
    for piece in middle:
        wanted.put_nowait(piece)
        texts.append((await anext(events)).choices[0].delta.content)
    for piece in (usage, done, b""):
        wanted.put_nowait(piece)
    assert [event async for event in events] == []
    assert texts == ["", "Hel", "lo", None]
    record = await world.record(answer.headers["x-request-id"])
    assert record is not None
    assert (record.streamed, record.tokens) == (True, Tokens(input=9, output=2))


async def test_cloudflare_ai_gateway(world: Deployed) -> None:
    """A gateway between is told to keep nothing, and the record has the name of its log's entry."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(answers.completion("Hello."), "200 OK", "cf-aig-log-id: 01ABC")

    await world.play(script)
    answer = await ask(await world.client())
    [asked] = world.provider.exchanges
    headers = {name: value for name, value in asked.asked.headers if name.startswith("cf-aig-")}
    assert headers == {**dict(PASSES_ON), "cf-aig-authorization": "Bearer cf-token"}
    record = await world.record(answer.headers["x-request-id"])
    assert record is not None
    assert [attempt.gateway_log_id for attempt in record.route] == ["01ABC"]


async def test_tools(world: Deployed) -> None:
    """Tools go to the provider as they were given, and its calls come back in the stream."""
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "look", "arguments": '{"a":1}'},
    }
    events = [
        answers.chunk({"role": "assistant", "tool_calls": [call]}),
        answers.chunk({}, "tool_calls"),
        b"data: [DONE]\n\n",
    ]
    await world.play(streaming(events))
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    client = await world.client()
    stream = await client.chat.completions.create(model="hello", messages=ASK, tools=tools, stream=True)
    first, last = [event async for event in stream]
    assert first.choices[0].delta.tool_calls is not None
    function = first.choices[0].delta.tool_calls[0].function
    assert function is not None
    assert (function.name, function.arguments, last.choices[0].finish_reason) == (
        "look",
        '{"a":1}',
        "tool_calls",
    )
    assert json.loads(world.provider.exchanges[0].asked.body)["tools"] == tools


async def test_other_functions(world: Deployed) -> None:
    """Models and health have Workers of their own, and a path that is nobody's is an envelope."""
    client = await world.client()
    assert [model.id async for model in client.models.list()] == ["hello", "pair"]
    async with asyncio.timeout(20):
        health = await client.get("../health", cast_to=object)
    assert health == {"status": "ok"}
    assert await client.get("../health/ready", cast_to=object) == {"status": "ready"}
    with pytest.raises(openai.NotFoundError) as caught:
        await client.get("/nowhere", cast_to=object)
    assert caught.value.code == "unknown_url"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_openai_for_node(world: Deployed, *, streamed: bool) -> None:
    """The official client for Node gets its answers, and lets its tool be called."""
    client = NodeClient("openai")
    try:
        task = Task(f"{world.edge.url}/v1", (await world.client()).api_key)
        await world.play(turns(saying("Hel", "lo.", streamed=streamed)))
        seen = await client.play("streamed" if streamed else "whole", task)
        assert ("".join(seen["pieces"]) if streamed else seen["text"], seen["finish"]) == ("Hello.", "stop")
        cities = ({"city": "Paris"}, {"city": "Rome"})
        await world.play(
            turns(calling("weather", cities, streamed=streamed), saying("Sunny.", streamed=streamed))
        )
        seen = await client.play("streamedTools" if streamed else "tools", task)
        assert (seen["calls"], seen["text"]) == (["Paris", "Rome"], "Sunny.")
    finally:
        client.close()


async def test_keys(world: Deployed) -> None:
    """A key that one Worker makes is good at another; when it is disabled there, a third refuses it at once."""
    await world.play(whole)
    admin = await world.client(permissions=frozenset({Permission.ADMIN}))
    made: Any = await admin.post("/keys", body={"name": "made here", "user": "bob"}, cast_to=object)
    client = admin.with_options(api_key=made["key"])
    assert (await ask(client)).status_code == 200
    await world.drain()
    await admin.post(f"/keys/{made['id']}/disable", cast_to=object)
    with pytest.raises(openai.AuthenticationError):
        await client.models.list()


async def test_answers_without_a_body(world: Deployed) -> None:
    """What has no body by HTTP's rules gets none, and its headers all the same."""
    async with httpx2.AsyncClient(base_url=world.edge.url, timeout=20) as client:
        head, options = await client.head("/health"), await client.options("/v1/chat/completions")
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "application/json")
    assert (options.status_code, options.content, options.headers["allow"]) == (204, b"", "OPTIONS, POST")


# -- refusals ----------------------------------------------------------------------------------------------------------


async def test_refusals(world: Deployed) -> None:
    """Who may not, or asks for what there is not, is told so in OpenAI's way, and no provider is asked."""
    await world.play(whole)
    client = await world.client()
    with pytest.raises(openai.AuthenticationError):
        await ask(client.with_options(api_key="sk-sluice-nobody"))
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="other", messages=ASK)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="hello", messages="no list")  # type: ignore[arg-type]
    assert world.provider.exchanges == []


async def test_provider_fails(world: Deployed) -> None:
    """A provider's failure is one of the gateway's, and the record says whose it is."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(b"oops", "503 Service Unavailable")

    await world.play(script)
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(await world.client())
    assert caught.value.status_code == 502
    record = await world.record(caught.value.response.headers["x-request-id"])
    assert record is not None
    assert record.outcome is Outcome.UPSTREAM


async def test_break_is_an_event(world: Deployed) -> None:
    """A stream that breaks off upstream ends with an error that the client raises, after what was sound."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunked(*answers.stream("Hel")[:2]))
        exchange.close()

    await world.play(script)
    client = await world.client()
    stream = await client.chat.completions.create(model="hello", messages=ASK, stream=True)
    assert [(await anext(stream)).choices[0].delta.content for _ in range(2)] == ["", "Hel"]
    with pytest.raises(openai.APIError) as caught:
        await anext(stream)
    assert caught.value.code == "provider_error"


class Upload:
    """A request by hand, whose body comes piece by piece."""

    def __init__(self, world: Deployed, client: openai.AsyncOpenAI) -> None:
        self._url = world.edge.url
        self._key = client.api_key

    async def send(self, *pieces: bytes, leaves: bool = False) -> bytes:
        """The head of the answer to these pieces, which end nothing; none where the client leaves instead."""
        host, _, port = self._url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self._key}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        writer.write(head.encode())
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        await writer.drain()
        try:
            if leaves:
                return b""
            return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def test_body_in_pieces(world: Deployed) -> None:
    """A body is read as it comes."""
    await world.play(whole)
    body = json.dumps({"model": "hello", "messages": ASK}).encode()
    head = await Upload(world, await world.client()).send(chunked(body[:10]), chunked(body[10:]), END)
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert json.loads(world.provider.exchanges[0].asked.body)["messages"] == ASK


async def test_body_too_large(world: Deployed) -> None:
    """A body that is too long is refused before its end has come."""
    head = await Upload(world, await world.client()).send(chunked(b" " * (MAX_BODY_BYTES + 1)))
    assert head.startswith(b"HTTP/1.1 413")


async def test_leaving_while_sending(world: Deployed) -> None:
    """A client that leaves in the middle of its body leaves nothing behind, and no provider is asked."""
    await world.play(whole)
    upload = Upload(world, await world.client())
    for _ in range(5):
        await upload.send(chunked(b'{"model": "hello",'), leaves=True)
    async with asyncio.timeout(20):  # a connection's end is heard when it has come
        while (left := await world.drain())["waiting"]:  # noqa: ASYNC110 - the server tells nobody of it
            await asyncio.sleep(0.01)
    assert (left["waiting"], left["objects"], left["rejections"], left["crossings"]) == (0, 0, [], [])
    assert world.provider.exchanges == []
