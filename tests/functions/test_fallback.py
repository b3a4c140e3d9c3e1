"""What comes after a failed attempt: the operator's lists, other keys, other protocols; and what a client is told."""

import asyncio
import json
import time
from typing import Any, Final

import openai
import pytest

from common.model.principal import DEFAULT_PERMISSIONS, Permission
from common.model.usage import Booked, Outcome
from tests.support.answers import completion
from tests.support.anthropic import fail, messages_api
from tests.support.origin import Exchange, Script
from tests.support.pair import (
    ASK,
    END,
    PAIR,
    TEXT,
    WORDS,
    Pair,
    begin,
    cut_after,
    events,
    failing,
    in_turn,
    pair,
    said,
    silent,
    stalled_after,
    well,
)
from tests.support.wire import connected, request

DOWN: Final = failing("503 Service Unavailable")
TOO_LONG: Final = b'{"error":{"message":"too long","code":"context_length_exceeded"}}'
FILTERED: Final = b'{"error":{"message":"the prompt is violent","code":"content_filter"}}'
LISTS: Final = """
[providers.one]
kind = "openai"
base_url = "{one}/v1"
[providers.two]
kind = "openai"
base_url = "{two}/v1"
[models.pair]
targets = ["one/small"]
context_fallbacks = ["long", "other"]
content_filter_fallbacks = ["lenient", "other"]
[models.long]
targets = ["two/long"]
[models.lenient]
targets = ["two/lenient"]
[models.other]
targets = ["two/other"]
"""


def models(w: Pair) -> list[str]:
    """Which models the second provider was asked for, in order."""
    return [json.loads(exchange.asked.body)["model"] for exchange in w.two.exchanges]


async def whole(exchange: Exchange) -> None:
    """The answer in one piece."""
    await exchange.answer(completion(TEXT))


@pytest.mark.parametrize(
    ("body", "first"), [(TOO_LONG, "long"), (FILTERED, "lenient")], ids=["too long", "filtered"]
)
async def test_list(body: bytes, first: str) -> None:
    """The operator's list for such an error is asked, in its order."""
    async with pair(failing("400 Bad Request", body=body), well, settings=LISTS) as w:
        assert await w.text() == TEXT
        assert (w.asked, models(w)) == ((1, 1), [first])


@pytest.mark.parametrize(
    ("body", "code", "listed"),
    [
        (TOO_LONG, "context_length_exceeded", ["long", "other"]),
        (FILTERED, "content_filter", ["lenient"]),
    ],
    ids=["too long", "filtered"],
)
async def test_list_is_asked_once(body: bytes, code: str, listed: list[str]) -> None:
    """Where those on it refuse for the same reason, that is the answer: the list is not gone through again.

    Of those that filter, one has had its say for all; of those that are too small, a larger one may be left.
    """
    refusing = failing("400 Bad Request", body=body)
    async with pair(refusing, refusing, settings=LISTS) as w:
        with pytest.raises(openai.BadRequestError) as caught:
            await w.text()
        assert caught.value.code == code
        assert (w.asked[0], models(w)) == (1, listed)


async def test_nobody_is_asked_twice() -> None:
    """Who is on two lists, and was asked by the first, is left out of the second."""

    async def refusing(exchange: Exchange) -> None:
        model = json.loads(exchange.asked.body)["model"]
        await failing("400 Bad Request", body=FILTERED if model == "other" else TOO_LONG)(exchange)

    settings = LISTS.replace('["long", "other"]', '["other"]')
    async with pair(refusing, refusing, settings=settings) as w:
        with pytest.raises(openai.BadRequestError):
            await w.text()
        assert models(w) == ["other", "lenient"]


async def test_all_fail() -> None:
    """The most telling error, with every attempt in its message and their number in a header."""
    async with pair(DOWN, failing("429 Too Many Requests", "retry-after: 30"), routing="retries = 1") as w:
        with pytest.raises(openai.RateLimitError) as caught:
            await w.text()
        assert caught.value.code == "provider_rate_limited"
        tried = "one/vendor/model (provider_error) x 2, two/model (provider_rate_limited)"
        assert f"Tried: {tried}." in caught.value.message
        assert caught.value.response.headers["x-sluice-attempts"] == "3"
        assert caught.value.response.headers["retry-after"] == "30"


async def test_another_key_at_once() -> None:
    """Where one key is at its limit, the provider's next one is used without a pause, and the first one rests."""
    keys: list[str] = []

    async def limited(exchange: Exchange) -> None:
        keys.extend(exchange.asked.values("authorization"))
        refuse = failing("429 Too Many Requests", "retry-after: 30")
        await (refuse if keys[-1] == "Bearer first" else well)(exchange)

    settings = LISTS.replace('"{one}/v1"', '"{one}/v1"\napi_key = ["env:A", "env:B"]')
    async with pair(limited, well, settings=settings, variables={"A": "first", "B": "second"}) as w:
        began = time.monotonic()
        for _ in range(3):
            assert await w.text() == TEXT
        assert time.monotonic() - began < 5
        assert keys == ["Bearer first", "Bearer second", "Bearer second", "Bearer second"]
        assert w.asked[1] == 0


@pytest.mark.parametrize("admin", [True, False])
async def test_route(*, admin: bool) -> None:
    """Who was to be asked is shown to keys with `admin`, and to nobody else."""
    permissions = DEFAULT_PERMISSIONS | {Permission.ADMIN} if admin else DEFAULT_PERMISSIONS
    async with pair(whole, whole, permissions=permissions) as w:
        answer = await w.client.chat.completions.with_raw_response.create(model="pair", messages=ASK)
        told = answer.headers.get("x-sluice-route")
        assert told == ("priority: one/vendor/model, two/model" if admin else None)


async def test_dropped() -> None:
    """What a model does not take is left out, and named."""
    async with pair(whole, whole, first=', unsupported = ["temperature"]') as w:
        answer = await w.client.chat.completions.with_raw_response.create(
            model="pair",
            messages=ASK,
            temperature=0.5,
            top_p=0.5,
        )
        assert answer.headers["x-sluice-dropped"] == "temperature"
        asked = json.loads(w.one.exchanges[0].asked.body)
        assert "temperature" not in asked
        assert asked["top_p"] == 0.5


async def test_nothing_is_dropped() -> None:
    """With `drop_params = false` that is an error, and nobody is asked."""
    first = ', unsupported = ["temperature"]'
    async with pair(whole, whole, first=first, routing="drop_params = false") as w:
        with pytest.raises(openai.BadRequestError) as caught:
            await w.text(temperature=0.5)
        assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "temperature")
        assert w.asked == (0, 0)


async def test_who_cannot_be_asked_does_not_go_on() -> None:
    """In the middle of an answer, its break is told, not that another candidate would lack a parameter."""
    behind = ', unsupported = ["temperature"]'
    async with pair(cut_after(40), well, behind=behind, routing="drop_params = false") as w:
        with pytest.raises(openai.APIError, match="broke off"):
            await w.text(temperature=0.5)
        assert w.asked == (1, 0)


# -- Anthropic's protocol behind OpenAI's

MIXED: Final = """
[providers.one]
kind = "openai"
base_url = "{one}/v1"
[providers.two]
kind = "anthropic"
base_url = "{two}/v1"
api_key = "env:KEY"
[models.pair]
targets = ["one/vendor/model", {{ to = "two/claude", assistant_prefill = true, max_output_tokens = 1000 }}]
price = {{ input = "1", output = "2" }}
context_length = 10_000
"""


async def claude(exchange: Exchange, body: Any) -> None:
    """Tells the words from where it is asked to go on."""
    last = body["messages"][-1]
    begun = last["content"][0]["text"] if last["role"] == "assistant" else ""
    assert begun == begun.rstrip()
    usage = {"input_tokens": 25, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": []}
    block = {"type": "text", "text": ""}
    words: list[dict[str, Any]] = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        for word in WORDS[begun.count("w") :]
    ]
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *words,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": len(words)},
        },
        {"type": "message_stop"},
    ]
    await begin(exchange)
    await events(
        exchange, *(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in told)
    )
    await exchange.send(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("first", "asked"), [(DOWN, 3), (cut_after(40), 1)], ids=["down", "cut in the middle"]
)
async def test_another_protocol(first: Script, asked: int) -> None:
    """A request falls back from OpenAI's protocol to Anthropic's, also in the middle of an answer."""
    second = messages_api(claude, keys=["sk-ant-1"])
    async with pair(first, second, settings=MIXED, variables={"KEY": "sk-ant-1"}) as w:
        assert await w.text() == TEXT
        assert w.asked == (asked, 1)
        (record,) = await w.records()
        assert (record.outcome, record.provider, record.route[-1].booked) == (Outcome.OK, "two", Booked.USAGE)


async def test_another_protocol_refuses() -> None:
    """Newer models there take no beginning of an answer: the client hears of the break, and nothing of that."""

    async def refuses(exchange: Exchange, body: Any) -> None:
        text = "This model does not support assistant message prefill."
        assert body["messages"][-1]["role"] == "assistant"
        await fail(exchange, "400 Bad Request", "invalid_request_error", text)

    second = messages_api(refuses, keys=["sk-ant-1"])
    async with pair(cut_after(40), second, settings=MIXED, variables={"KEY": "sk-ant-1"}) as w:
        with pytest.raises(openai.APIError, match="broke off"):
            await w.text()
        assert w.asked == (1, 1)


# -- three in a row

THREE: Final = """
[routing]
retries = 0
[providers.one]
kind = "openai"
base_url = "{one}/v1"
[providers.two]
kind = "openai"
base_url = "{two}/v1"
[models.pair]
targets = ["one/model", "two/vendor/model", {{ to = "two/other", assistant_prefill = true }}]
price = {{ input = "1", output = "2" }}
context_length = 10_000
"""


async def test_two_breaks() -> None:
    """The third goes on behind what both have said, and may say what is left of the maximum: no token counts twice."""

    async def rest(exchange: Exchange) -> None:
        await begin(exchange)
        await events(exchange, *said(*WORDS[50:]), *END)
        await exchange.send(b"0\r\n\r\n")

    async with pair(cut_after(40), in_turn(cut_after(50), rest), settings=THREE) as w:
        assert await w.text(max_tokens=100) == TEXT
        assert models(w) == ["vendor/model", "other"]
        assert json.loads(w.two.exchanges[1].asked.body)["max_tokens"] == 50


# -- deadlines

HURRY: Final = {"x-sluice-timeout": "0.3"}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_deadline_before_content(*, streamed: bool) -> None:
    """504 with its own code; the provider is left, and what it may charge is settled."""
    async with pair(silent, silent) as w:
        with pytest.raises(openai.InternalServerError) as caught:
            await w.client.chat.completions.create(
                model="pair", messages=ASK, stream=streamed, extra_headers=HURRY
            )
        assert (caught.value.status_code, caught.value.code) == (504, "deadline_exceeded")
        async with asyncio.timeout(5):
            await w.one.exchanges[0].left.wait()
        (record,) = await w.records()
        assert record.outcome is Outcome.UPSTREAM
        assert record.route[0].booked is not Booked.NOTHING
        assert w.asked == (1, 0)


async def test_deadline_behind_content() -> None:
    """In the middle of an answer it is an error event, and nobody goes on with it."""
    async with pair(stalled_after(20), well) as w:
        with pytest.raises(openai.APIError, match="deadline"):
            await w.text(extra_headers=HURRY)
        async with asyncio.timeout(5):
            await w.one.exchanges[0].left.wait()
        (record,) = await w.records()
        assert (record.outcome, record.route[0].tokens.output) == (Outcome.UPSTREAM, 21)
        assert w.asked == (1, 0)


async def test_deadline_of_the_configuration() -> None:
    """A client cannot have more than the configuration gives."""
    async with pair(silent, silent, routing="deadline_s = 0.3") as w:
        with pytest.raises(openai.InternalServerError) as caught:
            await w.text(extra_headers={"x-sluice-timeout": "60"})
        assert caught.value.code == "deadline_exceeded"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("x-sluice-timeout", value) for value in ("0", "-1", "3601", "1e3", "soon", "")),
        *(("x-sluice-resume", value) for value in ("no", "ON", "")),
    ],
)
async def test_headers_that_say_nothing(name: str, value: str) -> None:
    """400, with the header's name."""
    async with pair(well, well) as w:
        with pytest.raises(openai.BadRequestError) as caught:
            await w.text(extra_headers={name: value})
        assert (caught.value.param, caught.value.code) == (name, "invalid_value")
        assert w.asked == (0, 0)


async def test_a_sign_of_life_before_the_fallback() -> None:
    """After the configured silence a stream begins with a comment; another provider still gives the whole answer."""

    async def late(exchange: Exchange) -> None:
        await exchange.left.wait()

    settings = f"[server]\nkeep_alive_s = 0.1\n{PAIR}"
    async with pair(late, well, settings=settings, routing="first_token_timeout_s = 0.5") as w:
        body = json.dumps({"model": "pair", "messages": ASK, "stream": True}).encode()
        async with connected(str(w.client.base_url).removesuffix("/v1/")) as wire:
            key = f"authorization: Bearer {w.held.key}"
            await wire.send(request("POST", "/v1/chat/completions", key, body=body))
            answer = await wire.answer()
    assert answer.status == 200
    assert answer.body.startswith(b": keepalive\n\n")
    assert answer.body.count(b'"content": "w') == len(WORDS)
    assert answer.body.endswith(b"data: [DONE]\n\n")
