"""The whole application on Lambda's Runtime API: the runtime's loop, pooled connections, a scripted provider.

Over real sockets on both sides; only the stores are in memory.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from common.adapters.clock import SystemClock
from common.adapters.upstream.pooled import PooledUpstream
from common.gateway.interrupt import DEADLINE_MARGIN_S
from common.model.usage import Outcome, Tokens, UsageRecord
from tests.support import answers
from tests.support.gateway import UNKNOWN_KEY, MemoryGateway, memory_gateway
from tests.support.origin import Exchange, Origin, Script, origin
from tests.support.runtime_api import FAR_DEADLINE_MS, Invocation, Refusal, RuntimeApi, serving
from tests.support.url_events import post, url_event

CHAT: Final = "/v1/chat/completions"
SETTINGS: Final = """
[providers.scripted]
kind = "openai"
base_url = "{url}/v1"

[models.demo]
targets = ["scripted/upstream-demo"]
"""
ASKED: Final = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
STREAMED: Final = ASKED | {"stream": True}

ROLE, FIRST, *MIDDLE, USAGE, DONE = answers.stream("Hel", "lo")
OPENING = ROLE + FIRST  # what comes before the first content is held back
SHOWN: Final = b"".join([OPENING, *MIDDLE, DONE])  # to a client that did not ask for the usage
USED: Final = Tokens(input=9, output=2)
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END: Final = b"0\r\n\r\n"


def chunked(piece: bytes) -> bytes:
    """A piece of a body as it goes over the wire."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A function that is deployed, what it keeps, and the provider behind it."""

    api: RuntimeApi
    world: MemoryGateway
    provider: Origin

    def ask(
        self,
        document: Mapping[str, Any],
        *,
        key: str | None = None,
        deadline_ms: int = FAR_DEADLINE_MS,
        refusal: Refusal | None = None,
    ) -> Invocation:
        """Send a chat request to the function's URL."""
        event = post(CHAT, document, {"authorization": f"Bearer {key or self.world.key}"})
        return self.api.invoke(event, deadline_ms=deadline_ms, refusal=refusal)

    async def records(self) -> list[UsageRecord]:
        """All that were settled, twice where that was done twice, once the platform would freeze the process."""
        await self.api.idle()
        return self.world.meter.settled


@asynccontextmanager
async def deployed(script: Script) -> AsyncIterator[Deployed]:
    """Deploy all functions in one, with `script` as its provider."""
    pooled = PooledUpstream()
    try:
        async with origin(script) as provider:
            world = await memory_gateway(SETTINGS.format(url=provider.url), pooled)
            async with serving(world.app()) as api:
                yield Deployed(api, world, provider)
    finally:
        await pooled.close()


async def silent_after_opening(exchange: Exchange) -> None:
    """Begin a stream, and say nothing more until the caller leaves."""
    await exchange.send(HEAD, chunked(OPENING))
    await exchange.left.wait()


async def whole(exchange: Exchange) -> None:
    """A whole answer."""
    await exchange.answer(answers.completion("Hello."), "200 OK", "content-type: application/json")


# -- answers -----------------------------------------------------------------------------------------------------------


async def test_each_piece_is_out_before_the_provider_sends_the_next() -> None:
    """The client has every piece while the provider still holds back the next; one record is there at the end."""
    wanted: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(exchange: Exchange) -> None:
        await exchange.send(HEAD)
        while piece := await wanted.get():
            await exchange.send(chunked(piece))
        await exchange.send(END)

    async with deployed(script) as function:
        call = function.ask(STREAMED)
        for piece in (OPENING, *MIDDLE):
            wanted.put_nowait(piece)
            assert await call.chunk() == piece
        for piece in (USAGE, DONE, b""):
            wanted.put_nowait(piece)
        assert await call.body() == DONE
        head = await call.head()
        [record] = await function.records()
    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert head.headers["x-request-id"] == record.request_id
    assert (record.outcome, record.streamed, record.tokens, record.estimated) == (
        Outcome.OK,
        True,
        USED,
        False,
    )


async def test_whole_answer() -> None:
    """An answer that is not streamed comes as the provider gave it, and leaves one record."""
    async with deployed(whole) as function:
        call = function.ask(ASKED)
        assert await call.body() == answers.completion("Hello.")
        head = await call.head()
        [record] = await function.records()
        [asked] = function.provider.exchanges
    assert (head.status, head.headers["content-type"]) == (200, "application/json")
    assert (record.outcome, record.streamed, record.tokens) == (Outcome.OK, False, USED)
    assert asked.asked.target == "/v1/chat/completions"
    assert json.loads(asked.asked.body) == ASKED | {"model": "upstream-demo"}


async def test_warm_function() -> None:
    """Invocations follow each other in one process, each with a record of its own."""
    async with deployed(whole) as function:
        ids = [(await function.ask(ASKED).head()).headers["x-request-id"] for _ in range(3)]
        records = await function.records()
    assert [record.request_id for record in records] == ids
    assert len(set(ids)) == 3


async def test_other_functions_answer() -> None:
    """Models and health answer in the same process, and leave no record."""
    async with deployed(whole) as function:
        headers = {"authorization": f"Bearer {function.world.key}"}
        models = function.api.invoke(url_event("GET", "/v1/models", headers=headers))
        health = function.api.invoke(url_event("GET", "/health"))
        assert [each["id"] for each in json.loads(await models.body())["data"]] == ["demo"]
        assert json.loads(await health.body()) == {"status": "ok"}
        assert await function.records() == []


# -- refusals and failures ---------------------------------------------------------------------------------------------


async def test_unknown_key_is_refused() -> None:
    """A key that does not exist gets the envelope and a request id; the provider is not asked, nothing recorded."""
    async with deployed(whole) as function:
        call = function.ask(STREAMED, key=UNKNOWN_KEY)
        body = json.loads(await call.body())
        head = await call.head()
        assert await function.records() == []
        assert function.provider.exchanges == []
    assert (head.status, body["error"]["code"]) == (401, "invalid_api_key")
    assert head.headers["x-request-id"].startswith("req_")
    assert head.headers["content-type"] == "application/json"


async def test_break_ends_with_an_event() -> None:
    """A stream that breaks upstream is a whole HTTP body that ends with an error event, without `[DONE]`."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunked(OPENING), chunked(MIDDLE[0]))
        exchange.close()

    async with deployed(script) as function:
        call = function.ask(STREAMED)
        body = await call.body()
        assert await call.status() == 202
        [record] = await function.records()
    assert error_code(body, after=OPENING + MIDDLE[0]) == "provider_error"
    assert (record.outcome, record.estimated) == (Outcome.UPSTREAM, True)
    assert record.tokens.output > 0


# -- the platform's ends -----------------------------------------------------------------------------------------------


async def test_deadline_ends_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortly before the deadline a running stream ends with an error event, the provider is left, a record kept."""
    far_s, jump_s = 5.0, 6.0  # what is waited for in this test has more patience than that
    async with deployed(silent_after_opening) as function:
        deadline_ms = SystemClock().now_ms() + round((far_s + DEADLINE_MARGIN_S) * 1000)
        call = function.ask(STREAMED, deadline_ms=deadline_ms)
        assert await call.chunk() == OPENING
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + jump_s)
        body = await call.body()
        assert await call.status() == 202
        [record] = await function.records()
        await function.provider.exchanges[0].left.wait()
    assert error_code(body, after=b"") == "deadline_near"
    assert (record.outcome, record.estimated) == (Outcome.GATEWAY, True)
    assert record.tokens.output > 0


async def test_deadline_before_the_first_piece() -> None:
    """Where the deadline is near before anything was sent, the answer is a status and the envelope."""

    async def script(exchange: Exchange) -> None:
        await exchange.left.wait()

    async with deployed(script) as function:
        deadline_ms = SystemClock().now_ms() + round(DEADLINE_MARGIN_S * 1000)
        call = function.ask(STREAMED, deadline_ms=deadline_ms)
        body = json.loads(await call.body())
        head = await call.head()
        [record] = await function.records()
    assert (head.status, body["error"]["code"]) == (504, "deadline_near")
    assert (record.outcome, record.tokens.output) == (Outcome.GATEWAY, 0)


async def test_platform_that_takes_no_more_is_a_client_that_left() -> None:
    """When the platform ends the response in the middle, the provider is left, and the record says so."""
    async with deployed(silent_after_opening) as function:
        call = function.ask(STREAMED, refusal=Refusal(413, after=1))
        assert await call.status() == 413
        [record] = await function.records()
        await function.provider.exchanges[0].left.wait()
    assert (record.outcome, record.estimated) == (Outcome.CANCELLED, True)


def error_code(body: bytes, *, after: bytes) -> str:
    """The code of the error event that is all there is behind `after`."""
    assert body.startswith(after + b"data: ")
    event = body.removeprefix(after + b"data: ")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2
    code: str = json.loads(event)["error"]["code"]
    return code
