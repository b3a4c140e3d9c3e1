"""The sixteen faults of a public benchmark of gateways (Failover Bench, methodology v0.1), in a fast profile.

What waits is shortened by the configuration, as far as it has a setting for it, else by the constant's name; time
between calls is a clock's that is put forward. `make soak` runs the same with all waits as they are.
"""

import asyncio
import json
import os
import time
from contextlib import suppress
from typing import Final

import openai
import pytest

from common.adapters.clock import SystemClock
from common.gateway import pace
from common.model.usage import Booked, Outcome
from tests.support.answers import chunk, completion
from tests.support.origin import Exchange, Script
from tests.support.pair import (
    END,
    TEXT,
    WORDS,
    begin,
    cut_after,
    events,
    failing,
    in_turn,
    pair,
    reset,
    said,
    silent,
    well,
)

FULL: Final = os.environ.get("SLUICE_FULL_WAITS") == "1"
FAST: Final = "" if FULL else "first_token_timeout_s = 0.3\nslow_first_token_timeout_s = 5"
RETRY_AFTER_S: Final = 2 if FULL else 1
FIRST_TOKEN_S: Final = 20 if FULL else 2
STALL_S: Final = 30 if FULL else 2


@pytest.fixture(autouse=True)
def _short_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    if not FULL:
        monkeypatch.setattr(pace, "STALL_S", 0.3)
        monkeypatch.setattr(pace, "WHOLE_S", 0.3)


class Time(SystemClock):
    """The real one, unless it is put forward."""

    def __init__(self) -> None:
        self._forward_s = 0.0

    async def passes(self, seconds: float) -> None:
        """Let so much of it pass."""
        if FULL:
            await asyncio.sleep(seconds)
        else:
            self._forward_s += seconds

    def now_ms(self) -> int:
        """See `Clock.now_ms`."""
        return super().now_ms() + int(self._forward_s * 1000)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return super().monotonic() + self._forward_s


async def test_1_429_once() -> None:
    """A `retry-after` that can be waited for is, and the same provider answers."""
    once = in_turn(failing("429 Too Many Requests", f"retry-after: {RETRY_AFTER_S}"), well)
    async with pair(once, well) as w:
        began = time.monotonic()
        assert await w.text() == TEXT
        assert RETRY_AFTER_S <= time.monotonic() - began < RETRY_AFTER_S + 3
        assert w.asked == (2, 0)
        (record,) = await w.records()
        assert record.total_ms >= RETRY_AFTER_S * 1000
        assert record.gateway_us is not None
        assert record.gateway_us < 0.9 * RETRY_AFTER_S * 1_000_000  # the pause is the provider's


async def test_2_429_for_ever() -> None:
    """A few attempts with pauses, then the other provider."""
    async with pair(failing("429 Too Many Requests"), well) as w:
        began = time.monotonic()
        assert await w.text() == TEXT
        assert time.monotonic() - began < 4
        assert 2 <= w.asked[0] <= 4
        assert w.asked[1] == 1


async def test_3_500_once() -> None:
    """The same provider is asked again."""
    async with pair(in_turn(failing("500 Internal Server Error"), well), well) as w:
        assert await w.text() == TEXT
        assert w.asked == (2, 0)


async def test_4_503_for_ever() -> None:
    """The other provider answers."""
    async with pair(failing("503 Service Unavailable"), well) as w:
        assert await w.text() == TEXT
        assert w.asked == (3, 1)
        (record,) = await w.records()
        assert (record.outcome, record.attempts, record.provider) == (Outcome.OK, 4, "two")


async def test_5_reset_before_headers() -> None:
    """It is asked again."""
    async with pair(in_turn(reset, well), well) as w:
        assert await w.text() == TEXT
        assert w.asked == (2, 0)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_6_no_response(*, streamed: bool) -> None:
    """The first time-out falls back; the silent one is not asked again."""

    async def whole(exchange: Exchange) -> None:
        await exchange.answer(completion(TEXT))

    async with pair(silent, well if streamed else whole, routing=FAST) as w:
        if streamed:
            assert await w.text() == TEXT
        else:
            answer = await w.client.chat.completions.create(
                model="pair", messages=[{"role": "user", "content": "x"}]
            )
            assert answer.choices[0].message.content == TEXT
        assert w.asked == (1, 1)
        assert w.one.exchanges[0].left.is_set()


async def test_7_headers_and_no_token() -> None:
    """The first token has a limit of its own, whatever else comes: roles, comments."""

    async def slow(exchange: Exchange) -> None:
        await begin(exchange)
        await events(exchange, *said())
        began = time.monotonic()
        while time.monotonic() < began + FIRST_TOKEN_S and not exchange.left.is_set():
            await events(exchange, b": still thinking\n\n")
            await asyncio.sleep(0.05)
        if not exchange.left.is_set():
            await events(exchange, *said(*WORDS)[1:], *END)

    async with pair(slow, well, routing=FAST) as w:
        began = time.monotonic()
        assert await w.text() == TEXT
        assert time.monotonic() - began < 15
        assert w.asked == (1, 1)


@pytest.mark.parametrize("behind", ["", ", assistant_prefill = true"], ids=["spliced", "prefilled"])
async def test_8_cut_in_the_middle(behind: str) -> None:
    """The other provider goes on in the same stream; nothing is said twice, and both are paid for."""

    async def other(exchange: Exchange) -> None:
        asked = json.loads(exchange.asked.body)["messages"][-1]
        known = asked["content"].count("w") if asked["role"] == "assistant" else 0
        await begin(exchange)
        await events(exchange, *said(*WORDS[known:]), *END)
        await exchange.send(b"0\r\n\r\n")

    async with pair(cut_after(40), other, behind=behind) as w:
        assert await w.text() == TEXT
        assert w.asked == (1, 1)
        (record,) = await w.records()
        first, second = record.route
        assert (first.booked, second.booked) == (Booked.ESTIMATE, Booked.USAGE)
        assert first.tokens.output == 41  # the role is an event, too
        assert (record.outcome, record.attempts) == (Outcome.OK, 2)
        prefilled = json.loads(w.two.exchanges[0].asked.body)["messages"][-1]["role"] == "assistant"
        assert prefilled == bool(behind)


async def test_8_cut_and_nobody_can_go_on() -> None:
    """Another model that continues nothing: an error, and no end that looks like one."""
    async with pair(cut_after(40), well, second="other-model") as w:
        with pytest.raises(openai.APIError, match="broke off"):
            await w.text()
        assert w.asked == (1, 0)
        (record,) = await w.records()
        assert record.outcome is Outcome.UPSTREAM


async def test_9_stalled() -> None:
    """A silence in the middle is noticed, and the answer completed elsewhere."""

    async def stalling(exchange: Exchange) -> None:
        await begin(exchange)
        await events(exchange, *said(*WORDS[:20]))
        with suppress(TimeoutError):
            await asyncio.wait_for(exchange.left.wait(), STALL_S)
        if not exchange.left.is_set():
            await events(exchange, *said(*WORDS[20:])[1:], *END)

    async with pair(in_turn(stalling, well), well) as w:
        began = time.monotonic()
        assert await w.text() == TEXT
        assert time.monotonic() - began < STALL_S
        assert w.asked == (1, 1)
        assert await w.text() == TEXT
        assert w.asked == (2, 1)


async def test_10_one_malformed_event() -> None:
    """It is skipped; the answer is complete."""

    async def script(exchange: Exchange) -> None:
        await begin(exchange)
        await events(
            exchange, *said(*WORDS[:30]), b'data: {"choices": [{"del\n\n', *said(*WORDS[30:])[1:], *END
        )
        await exchange.send(b"0\r\n\r\n")

    async with pair(script, well) as w:
        assert await w.text() == TEXT
        assert w.asked == (1, 0)


async def test_11_no_done() -> None:
    """The end is ours, at once, and usage is reported."""

    async def script(exchange: Exchange) -> None:
        await begin(exchange)
        await events(exchange, *said(*WORDS), *END[:2])
        await exchange.send(b"0\r\n\r\n")

    async with pair(script, well) as w:
        stream = await w.client.chat.completions.create(
            model="pair",
            messages=[{"role": "user", "content": "x"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        *_, last = [each async for each in stream]
        assert last.usage is not None
        assert last.usage.completion_tokens == len(WORDS)


TOO_LONG = b'{"error":{"message":"maximum context length is 4096 tokens","code":"context_length_exceeded"}}'


async def test_12_too_long() -> None:
    """Not asked again; one with a larger context is."""
    script = failing("400 Bad Request", body=TOO_LONG)
    async with pair(script, well, first=", context_length = 4096") as w:
        assert await w.text() == TEXT
        assert w.asked == (1, 1)


async def test_12_too_long_for_all() -> None:
    """Where no other is larger, nobody else is asked."""
    script = failing("400 Bad Request", body=TOO_LONG)
    async with pair(script, well, behind=", context_length = 4096") as w:
        with pytest.raises(openai.BadRequestError) as caught:
            await w.text()
        assert caught.value.code == "context_length_exceeded"
        assert w.asked == (1, 0)


async def test_13_content_filter() -> None:
    """Not asked again, not routed around; the provider's reason is told."""
    body = b'{"error":{"message":"the prompt is violent","code":"content_policy_violation"}}'
    async with pair(failing("400 Bad Request", body=body), well) as w:
        with pytest.raises(openai.BadRequestError) as caught:
            await w.text()
        assert caught.value.code == "content_policy_violation"
        assert "the prompt is violent" in caught.value.message
        assert w.asked == (1, 0)


@pytest.mark.parametrize("second", ["model", "another"], ids=["the same model", "another model"])
async def test_14_prefill_is_refused(second: str) -> None:
    """Its 400 is not the client's: the same model is asked anew, and where that can't be, the break is the answer."""

    async def refusing(exchange: Exchange) -> None:
        if json.loads(exchange.asked.body)["messages"][-1]["role"] == "assistant":
            await failing("400 Bad Request", body=b'{"error":{"message":"no prefill"}}')(exchange)
        else:
            await well(exchange)

    async with pair(cut_after(40), refusing, second=second, behind=", assistant_prefill = true") as w:
        if second == "model":
            assert await w.text() == TEXT
            assert w.asked == (1, 2)
        else:
            with pytest.raises(openai.APIError) as caught:
                await w.text()
            assert "broke off" in caught.value.message
            assert w.asked == (1, 1)


async def test_15_down_for_a_while() -> None:
    """All requests are served, the breaker spares the sick provider, and it answers again soon after it is well."""
    sick = asyncio.Event()
    sick.set()

    async def down(exchange: Exchange) -> None:
        await (failing("503 Service Unavailable") if sick.is_set() else well)(exchange)

    passing = Time()
    async with pair(down, well, clock=passing) as w:
        for _ in range(20):
            assert await w.text() == TEXT
            await passing.passes(3)
        assert w.asked[0] <= 15
        assert w.asked[1] == 20
        sick.clear()
        waited_s = 0
        while await w.text() == TEXT and w.asked[1] == 21 + waited_s // 3:
            await passing.passes(3)
            waited_s += 3
        assert waited_s <= 30


@pytest.mark.parametrize(
    ("bad", "billed"),
    [
        (failing("503 Service Unavailable"), False),
        (failing("429 Too Many Requests"), False),
        (reset, True),
        (silent, True),
    ],
    ids=["it says so", "it asks for patience", "nobody knows", "nobody knows of silence"],
)
async def test_16_what_is_not_billed_is_not_charged(bad: Script, *, billed: bool) -> None:
    """An attempt that may be billed is booked; the answer names the model that gave it."""
    async with pair(bad, well, routing=f"retries = 0\n{FAST}") as w:
        stream = await w.client.chat.completions.create(
            model="pair", messages=[{"role": "user", "content": "x"}], stream=True
        )
        models = {each.model async for each in stream}
        assert models == {json.loads(chunk({}).removeprefix(b"data: "))["model"]}
        (record,) = await w.records()
        first, _ = record.route
        assert (first.booked is not Booked.NOTHING) == billed
        assert record.provider == "two"
