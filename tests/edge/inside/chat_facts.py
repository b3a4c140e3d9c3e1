"""How the application answers on Workers: all functions, memory for storage, and a scripted provider behind `fetch`.

The provider lets its pieces go one by one, so what the client has before the next is a fact and not luck.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

import js
import stage  # type: ignore[import-not-found] # given by harness.mjs
from pyodide.ffi import create_proxy, to_js

from common.adapters.cloudflare.fetch import FetchUpstream
from common.gateway.call import Call
from common.gateway.delivery import EventStream
from common.model.usage import UsageRecord
from tests.edge.inside.asgi_client import App, Exchange
from tests.support.gateway import UNKNOWN_KEY, MemoryGateway, memory_gateway

CHAT: Final = "/v1/chat/completions"
SETTINGS: Final = """
[providers.scripted]
kind = "openai"
base_url = "https://provider.example.com/v1"
api_key = "env:PROVIDER_KEY"

[models.demo]
targets = ["scripted/upstream-demo"]
"""
VARIABLES: Final = {"PROVIDER_KEY": "provider-secret"}
ASKED: Final = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "x_unknown": [1, None]}
STREAMED: Final = ASKED | {"stream": True}
WITH_USAGE: Final = STREAMED | {"stream_options": {"include_usage": True}}

WHOLE: Final = [
    '{"choices":[{"message":{"content":"Hel',
    'lo"}}],"usage":{"prompt_tokens":7,"completion_tokens":2}}',
]
FIRST: Final = 'data: {"choices":[{"delta":{"content":"Hel"},"finish_reason":null}]}\n\n'
LAST: Final = 'data: {"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
USAGE: Final = 'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE: Final = "data: [DONE]\n\n"
STREAM: Final = [FIRST, LAST, USAGE, DONE]
FAILED: Final = ['{"error":{"message":"No: ask https://inside.example.com","type":"t","code":"c"}}']

_PATIENCE_S: Final = 10
_REQUESTS: Final = 20

Facts = dict[str, object]
Script = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True)
class _Isolate:
    """What a Worker keeps between its requests."""

    world: MemoryGateway
    app: App

    @property
    def authorization(self) -> str:
        return f"Bearer {self.world.key}"

    @property
    def records(self) -> Sequence[UsageRecord]:
        return self.world.meter.settled


async def gather() -> Facts:
    """One entry for each way a request can go, all through one application."""
    with _scripted_fetch():
        world = await memory_gateway(SETTINGS, FetchUpstream(), VARIABLES)
        isolate = _Isolate(world, world.app())
        chat = partial(_chat, isolate)
        return {
            "pieces": STREAM,
            "whole": await chat(ASKED, WHOLE, _all),
            "streamed": await chat(STREAMED, STREAM, _one_by_one),
            "streamed with usage": await chat(WITH_USAGE, STREAM, _all),
            "no end of the body": await chat(STREAMED, [*STREAM, ""], _all_but_the_end),
            "left after a piece": await chat(STREAMED, STREAM, _leave_after_first),
            "left in silence": await chat(STREAMED, STREAM, _leave_in_silence),
            "left, not streamed": await chat(ASKED, WHOLE, _leave_in_silence),
            "broken off": await chat(STREAMED, STREAM, _break_after_first),
            "failed": {status: await chat(STREAMED, FAILED, _all, status) for status in (400, 401, 429, 500)},
            "without a provider": await _others(isolate),
            "left behind": {
                "whole": await _grown_by(partial(chat, ASKED, WHOLE, _all)),
                "streamed": await _grown_by(partial(chat, STREAMED, STREAM, _one_by_one)),
                "left": await _grown_by(partial(chat, STREAMED, STREAM, _leave_after_first)),
                "broken off": await _grown_by(partial(chat, STREAMED, STREAM, _break_after_first)),
                "on purpose": await _grown_by(_leak),
            },
        }


async def _chat(
    isolate: _Isolate,
    body: Mapping[str, object],
    pieces: Sequence[str],
    script: Script,
    status: int = 200,
) -> Facts:
    """One completion. `script` plays provider and client while it is answered; the provider has `pieces` to send."""
    _play(pieces, status)
    exchange = Exchange("POST", CHAT, body, isolate.authorization)
    settled = len(isolate.records)
    answering = asyncio.ensure_future(exchange.run(isolate.app))
    await asyncio.wait_for(stage.provider.asked(), _PATIENCE_S)
    await script(exchange)
    await answering
    return _facts(exchange) | {
        "requests": stage.provider.requests.to_py(),
        "records": [
            asdict(record) | {"tokens": record.tokens._asdict()} for record in isolate.records[settled:]
        ],
    }


def _play(pieces: Sequence[str], status: int = 200) -> None:
    type_ = "text/event-stream" if pieces[0].startswith("data:") else "application/json"
    answer = {"status": status, "type": type_, "pieces": pieces}
    stage.provider.play(to_js(answer, dict_converter=js.Object.fromEntries))


def _facts(exchange: Exchange) -> Facts:
    return {
        "status": exchange.status,
        "headers": exchange.headers,
        "body": exchange.body.decode(),
        "ended": exchange.ended,
        "notes": exchange.notes,
    }


# -- what provider and client do ---------------------------------------------------------------------------------------


async def _all(_exchange: Exchange) -> None:
    """The provider sends everything at once."""
    _release(stage.provider.answer.pieces.length)


async def _all_but_the_end(_exchange: Exchange) -> None:
    """The provider keeps its connection open behind the last event."""
    _release(len(STREAM))


async def _one_by_one(exchange: Exchange) -> None:
    """The provider waits for each piece to reach the client. The notes tell what the client had by then."""
    for piece in (FIRST, LAST):
        stage.provider.release()
        await exchange.until(piece.encode())
        exchange.notes.append(exchange.body.decode())
    _release(2)


async def _leave_after_first(exchange: Exchange) -> None:
    stage.provider.release()
    await exchange.until(FIRST.encode())
    await _leave_in_silence(exchange)


async def _leave_in_silence(exchange: Exchange) -> None:
    exchange.leave()
    await asyncio.wait_for(stage.provider.left(), _PATIENCE_S)
    exchange.notes.append("the provider was left")


async def _break_after_first(exchange: Exchange) -> None:
    stage.provider.release()
    await exchange.until(FIRST.encode())
    stage.provider.breakOff()


def _release(count: int) -> None:
    for _ in range(count):
        stage.provider.release()


# -- without a provider ------------------------------------------------------------------------------------------------


async def _others(isolate: _Isolate) -> Facts:
    """What is answered without asking a provider, and leaves no record."""
    _play(STREAM)
    settled, good = len(isolate.records), isolate.authorization
    exchanges = {
        "health": Exchange("GET", "/health", None, None),
        "models": Exchange("GET", "/v1/models", None, good),
        "no key": Exchange("POST", CHAT, ASKED, None),
        "no such key": Exchange("POST", CHAT, ASKED, f"Bearer {UNKNOWN_KEY}"),
        "no key for models": Exchange("GET", "/v1/models", None, None),
        "invalid": Exchange("POST", CHAT, {"model": "demo"}, good),
        "no such model": Exchange("POST", CHAT, ASKED | {"model": "other"}, good),
        "no such path": Exchange("GET", "/v1/nothing", None, good),
    }
    for exchange in exchanges.values():
        await exchange.run(isolate.app)
    facts: Facts = {name: _facts(exchange) for name, exchange in exchanges.items()}
    return facts | {
        "requests": stage.provider.requests.length,
        "records": len(isolate.records) - settled,
    }


# -- what is left behind -----------------------------------------------------------------------------------------------


async def _grown_by(request: Callable[[], Awaitable[object]]) -> list[int]:
    """After twenty requests: how many more Python objects JS holds, and how many more of a request's own there are."""
    await request()
    before = await _held()
    for _ in range(_REQUESTS):
        await request()
    return [after - each for each, after in zip(before, await _held(), strict=True)]


async def _held() -> tuple[int, int]:
    """Counted once everything that is ready to run has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()
    ours = sum(isinstance(each, Call | EventStream | Exchange) for each in gc.get_objects())
    return stage.proxies(), ours


async def _leak() -> None:
    """That the counting is awake."""
    exchange = Exchange("GET", "/health", None, None)
    exchange.notes.append(create_proxy(exchange))


@contextmanager
def _scripted_fetch() -> Iterator[None]:
    real = js.fetch
    js.fetch = stage.provider.fetch
    try:
        yield
    finally:
        js.fetch = real
