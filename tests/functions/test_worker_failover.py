"""Workers before a provider that fails: pauses, another candidate, and going on in the middle of a stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.edge.deployed import END, HEAD, Deployed, chunked, deployed, records_of, whole
from tests.support import answers
from tests.support.origin import Exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = [f"w{number:02} " for number in range(20)]
ASK: Final[Any] = [{"role": "user", "content": "Count."}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployed]:
    """The deployment."""
    async with deployed(tmp_path_factory.mktemp("workers")) as opened:
        yield opened


def model_of(exchange: Exchange) -> str:
    """Which candidate is asked."""
    model: str = json.loads(exchange.asked.body)["model"]
    return model.partition("/")[0]


async def test_fallback(world: Deployed) -> None:
    """The first candidate is asked again after pauses, then the second one answers."""

    async def script(exchange: Exchange) -> None:
        if model_of(exchange) == "second":
            await whole(exchange)
        else:
            await exchange.answer(b'{"error":{"message":"no"}}', "503 No", "content-type: application/json")

    await world.play(script)
    client = await world.client(requests_per_minute=5)
    answer = await client.chat.completions.with_raw_response.create(model="pair", messages=ASK)
    assert answer.parse().choices[0].message.content == "Hello."
    assert answer.headers["x-sluice-attempts"] == "4"
    assert [model_of(each) for each in world.provider.exchanges] == ["first", "first", "first", "second"]
    record = await world.record(answer.headers["x-request-id"])
    assert record is not None
    assert [attempt.ended for attempt in record.route] == ["provider_error"] * 3 + ["ok"]
    left = await world.drain()
    assert (left["waiting"], left["rejections"]) == (0, [])


async def test_going_on(world: Deployed) -> None:
    """A stream that breaks in the middle is completed by the other candidate; nothing comes twice."""

    async def script(exchange: Exchange) -> None:
        events = answers.stream(*WORDS)
        if model_of(exchange) == "second":
            await exchange.send(HEAD, chunked(*events), END)
            return
        for event in events[:12]:
            await exchange.send(*([HEAD] if event is events[0] else []), chunked(event))
        await asyncio.sleep(0.2)  # what is sent is read before the end
        exchange.reset()

    await world.play(script)
    client = await world.client(requests_per_minute=5)
    stream = await client.chat.completions.create(model="pair", messages=ASK, stream=True)
    text = "".join([each.choices[0].delta.content or "" async for each in stream if each.choices])
    assert text == "".join(WORDS)
    assert [model_of(each) for each in world.provider.exchanges] == ["first", "second"]
    left = await world.drain()
    assert (left["waiting"], left["rejections"]) == (0, [])


async def test_leaving_in_a_pause(world: Deployed) -> None:
    """Who leaves while the gateway pauses between two tries is heard at once: nobody is asked again."""

    async def script(exchange: Exchange) -> None:
        error = b'{"error":{"message":"no"}}'
        await exchange.answer(error, "429 No", "content-type: application/json", "retry-after: 2")

    await world.play(script)
    client = await world.client(requests_per_minute=5)
    before = await world.drain()
    asking = asyncio.create_task(client.chat.completions.create(model="hello", messages=ASK))
    await world.asked()
    await asyncio.sleep(0.3)  # into the pause, which takes 2 s
    asking.cancel()
    await asyncio.wait([asking])
    async with asyncio.timeout(1):
        after = await world.drain()
    assert len(world.provider.exchanges) == 1
    assert [record["outcome"] for record in await records_of(world, client)] == ["cancelled"]
    assert (after["waiting"], after["rejections"], after["timers"]) == (0, [], before["timers"])


async def test_fallbacks_leave_nothing_behind(world: Deployed) -> None:
    """Two hundred fallbacks leave no proxy, no timer and no object, and need no more memory."""

    async def script(exchange: Exchange) -> None:
        if model_of(exchange) == "second":
            await whole(exchange)
        else:  # which blames nobody: no breaker turns the order round
            await exchange.answer(b'{"error":{"message":"no"}}', "404 No", "content-type: application/json")

    await world.play(script)
    client = await world.client(requests_per_minute=1_000)
    counts = []
    for times in (20, 200):
        for _ in range(times):
            await client.chat.completions.create(model="pair", messages=ASK)
        left = await world.drain()
        counts.append(
            [left[what] for what in ("waiting", "proxies", "objects", "timers", "memory", "rejections")]
        )
    assert counts[0] == counts[1]
    assert [model_of(each) for each in world.provider.exchanges] == ["first", "second"] * 220
