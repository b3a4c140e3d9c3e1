"""A provider that dies in the middle of many streams."""

import asyncio
import json
from collections import Counter

import openai
import pytest

from common.model.usage import Booked, Outcome
from tests.support.answers import chunk
from tests.support.origin import Exchange
from tests.support.pair import END, TEXT, WORDS, Pair, begin, cut_after, events, pair, said, well

STREAMS = 100


class Dying:
    """Streams slowly, and dies in the middle of all that it has; what it had sent by then is counted."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.under_way = 0
        self.all_there = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        """One stream: its number of words differs from the others'."""
        self.under_way += 1
        if self.under_way == STREAMS:
            self.all_there.set()
        words = WORDS[: 5 + self.under_way % 50]
        await begin(exchange)
        await events(exchange, *said(*words))
        await self.all_there.wait()
        await asyncio.sleep(0.1)  # what is sent is read before the reset
        self.sent.append(len(words) + 1)  # the role is an event, and an event a token at least
        exchange.reset()


async def outcomes(w: Pair, **more: object) -> list[str | BaseException]:
    """The text of each stream, or what it raised."""
    return await asyncio.gather(*(w.text(**more) for _ in range(STREAMS)), return_exceptions=True)


async def test_all_are_completed() -> None:
    """Every text is whole, nothing of it twice; the ledger has what both providers served."""
    dying = Dying()
    async with pair(dying, well, routing="retries = 0") as w:
        assert Counter(await outcomes(w)) == {TEXT: STREAMS}
        records = await w.records(STREAMS)
        broken = [record.route[0] for record in records]
        assert sorted(attempt.tokens.output for attempt in broken) == sorted(dying.sent)
        assert {attempt.booked for attempt in broken} == {Booked.ESTIMATE}
        assert [record.route[1].tokens.output for record in records] == [len(WORDS)] * STREAMS
        assert {(record.outcome, record.attempts) for record in records} == {(Outcome.OK, 2)}
        assert sum(record.tokens.output for record in records) == sum(dying.sent) + len(WORDS) * STREAMS


async def test_none_is_resumed() -> None:
    """Where the client wants it so, each ends with a clean error, and the ledger has what was served."""
    dying = Dying()
    async with pair(dying, well, routing="retries = 0") as w:
        ended = await outcomes(w, extra_headers={"x-sluice-resume": "off"})
        assert [type(each) for each in ended] == [openai.APIError] * STREAMS
        records = await w.records(STREAMS)
        assert sorted(record.tokens.output for record in records) == sorted(dying.sent)
        assert {(record.outcome, record.attempts) for record in records} == {(Outcome.UPSTREAM, 1)}
        assert w.asked == (STREAMS, 0)


async def test_one_stream_to_the_client() -> None:
    """The other answer goes on under the first one's id, without a second role, and with one end."""

    async def other(exchange: Exchange) -> None:
        await begin(exchange)
        answer = b"\0".join([*said(*WORDS), *END]).replace(b"chatcmpl-1", b"chatcmpl-2")
        await events(exchange, *answer.split(b"\0"))
        await exchange.send(b"0\r\n\r\n")

    async with pair(cut_after(40), other, routing="retries = 0") as w:
        stream = await w.client.chat.completions.create(
            model="pair", messages=[{"role": "user", "content": "x"}], stream=True
        )
        chunks = [each async for each in stream]
        assert {each.id for each in chunks} == {"chatcmpl-1"}
        assert sum(each.choices[0].delta.role is not None for each in chunks) == 1
        assert [each.choices[0].finish_reason for each in chunks if each.choices[0].finish_reason] == ["stop"]
        (record,) = await w.records()
        assert record.route[1].provider_request_id == "chatcmpl-2"


async def test_half_sent_arguments() -> None:
    """Half a call of a tool is not gone on with: the error stands."""

    async def script(exchange: Exchange) -> None:
        await begin(exchange)
        call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"ci'}}
        await events(exchange, chunk({"role": "assistant", "tool_calls": [call]}))
        await asyncio.sleep(0.02)
        exchange.reset()

    async with pair(script, well, routing="retries = 0") as w:
        stream = await w.client.chat.completions.create(
            model="pair", messages=[{"role": "user", "content": "x"}], stream=True
        )
        await anext(stream)
        with pytest.raises(openai.APIError, match="broke off"):
            await anext(stream)
        assert w.asked == (1, 0)


async def test_a_break_in_what_goes_on() -> None:
    """The second breaks as well: a third would go on from what both have said; there is none, so the error stands."""
    async with pair(cut_after(20), cut_after(40), routing="retries = 0") as w:
        stream = await w.client.chat.completions.create(
            model="pair", messages=[{"role": "user", "content": "x"}], stream=True
        )
        text = "".join([(await anext(stream)).choices[0].delta.content or "" for _ in range(41)])
        with pytest.raises(openai.APIError, match="broke off"):
            await anext(stream)
        assert text == "".join(WORDS[:40])
        (record,) = await w.records()
        assert record.outcome is Outcome.UPSTREAM
        assert [attempt.tokens.output for attempt in record.route] == [21, 41]


async def test_the_output_maximum_of_a_continuation() -> None:
    """A candidate that goes on may say what is left of the maximum, and no more."""

    async def other(exchange: Exchange) -> None:
        await begin(exchange)
        await events(exchange, *said(*WORDS[40:]), *END)
        await exchange.send(b"0\r\n\r\n")

    async with pair(cut_after(40), other, behind=", assistant_prefill = true", routing="retries = 0") as w:
        assert await w.text(max_tokens=100) == TEXT
        asked = json.loads(w.two.exchanges[0].asked.body)
        assert 50 <= asked["max_tokens"] <= 60  # 40 words, and the events around them
