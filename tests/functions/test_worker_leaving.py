"""What Workers leave behind, and what they let pass: clients that go, many at once, limits.

All tests share one deployment, with a key for each, as in `test_worker.py`.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
import pytest_asyncio

from common.access.api_key import hash_key
from common.adapters.sql.database import Statement
from common.model.principal import DEFAULT_PERMISSIONS, Permission
from tests.edge.deployed import END, HEAD, Deployed, ask, chunked, deployed, records_of, streaming, whole
from tests.edge.toolbox import REPOSITORY
from tests.support import answers
from tests.support.origin import Exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEAVING = pytest.mark.parametrize("leaving", ["cancel", "stop"])
"""Whether the platform says of a body that nobody reads it any more; by the signal it is told in any case."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployed]:
    """The deployment."""
    async with deployed(tmp_path_factory.mktemp("workers")) as opened:
        yield opened


# -- the client leaves -------------------------------------------------------------------------------------------------


@LEAVING
@pytest.mark.parametrize("words", [0, 2], ids=["in silence", "after a piece"])
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_leaving(world: Deployed, leaving: str, words: int, *, streamed: bool) -> None:
    """When the client leaves, the provider is left, and the record is there all the same."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunked(*answers.stream("Hello")[:words]))
        await exchange.left.wait()

    await world.play(script)
    client = await world.client(requests_per_minute=5)
    async with asyncio.timeout(20):
        asking = asyncio.create_task(ask(client, stream=streamed, extra_headers={"x-edge-leaving": leaving}))
        [exchange] = await world.asked()
        if words and streamed:
            answer = await asking
            await anext(answer.parse())
            await answer.http_response.aclose()
        else:
            asking.cancel()
        await exchange.left.wait()
        await world.drain()
    records = await records_of(world, client)
    assert [record["outcome"] for record in records] == ["cancelled"]


@LEAVING
async def test_many_leave(world: Deployed, leaving: str) -> None:
    """Thirty that leave together are each settled once; no promise, timer or object of theirs is left."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunked(*answers.stream("Hello")[:2]))
        await exchange.left.wait()

    await world.play(script)
    client = await world.client()

    async def leave() -> None:
        answer = await ask(client, stream=True, extra_headers={"x-edge-leaving": leaving})
        await anext(answer.parse())
        await answer.http_response.aclose()

    await leave()
    before = await world.drain()
    async with asyncio.timeout(30):
        await asyncio.gather(*(leave() for _ in range(30)))
        after = await world.drain()
    assert len(await records_of(world, client)) == 31
    assert (after["waiting"], after["rejections"], after["crossings"]) == (0, [], [])
    assert (after["proxies"], after["objects"], after["timers"]) == (
        before["proxies"],
        before["objects"],
        before["timers"],
    )


async def test_nothing_is_left_behind(world: Deployed) -> None:
    """Twenty whole and twenty streamed answers leave no proxy, no timer and no object."""
    client = await world.client()
    for script, streamed in ((whole, False), (streaming(answers.stream("Hello")), True)):
        await world.play(script)
        counts = []
        for times in (1, 20):
            for _ in range(times):
                answer = await ask(client, stream=streamed)
                if streamed:
                    [_ async for _ in answer.parse()]
            left = await world.drain()
            counts.append([left[what] for what in ("waiting", "proxies", "objects", "timers", "rejections")])
        assert counts[0] == counts[1]


async def test_crossings_are_noticed(world: Deployed) -> None:
    """A request that goes on because of another is seen when it uses what belongs to a request."""
    await world.drain()
    async with httpx2.AsyncClient(base_url=world.edge.url, timeout=20) as client:
        await asyncio.gather(client.get("/careless"), client.get("/careless"))
    assert (await world.drain())["crossings"] == ["get"]


# -- limits ------------------------------------------------------------------------------------------------------------


class Gate:
    """A provider that answers nobody before it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        """Play one exchange."""
        await self.open.wait()
        await whole(exchange)


@pytest.mark.parametrize("limit", ["requests_per_minute", "budget_total", "max_parallel"])
async def test_last_unit(world: Deployed, limit: str) -> None:
    """Of fifty at once at the last units of a limit, exactly as many pass as may; the others are refused."""
    await world.play(whole)
    unlimited = await world.client(requests_per_day=1_000)
    await ask(unlimited, max_tokens=100)
    await world.drain()
    [first] = await records_of(world, unlimited)
    most = 20 * first["held"] if limit == "budget_total" else 20
    limits: dict[str, Any] = {limit: most}
    client = await world.client(**limits)
    gate = Gate()
    await world.play(gate)
    async with asyncio.timeout(60):
        asking = [asyncio.create_task(ask(client, max_tokens=100)) for _ in range(50)]
        await world.asked(20)
        refused = 0
        while refused < 30:
            refused = sum(task.done() for task in asking)
            await asyncio.sleep(0.001)
        gate.open.set()
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        left = await world.drain()
    assert sum(isinstance(each, openai.RateLimitError) for each in outcomes) == 30
    assert len(world.provider.exchanges) == 20
    assert len(await records_of(world, client)) == 20
    assert (left["rejections"], left["crossings"]) == ([], [])


async def test_hammering_costs_nothing(world: Deployed) -> None:
    """A client that goes on when its day's count is full costs no write in D1, and after the first time no read."""
    await world.play(whole)
    client = await world.client(requests_per_day=1)
    await ask(client)
    counts = []
    for times in (1, 10):
        for _ in range(times):
            with pytest.raises(openai.RateLimitError):
                await ask(client)
        left = await world.drain()
        counts.append((left["written"], left["batches"]))
    assert counts[0] == counts[1]


async def test_key_is_found_in_kv(world: Deployed) -> None:
    """A key that one Worker has found is found by another in KV, though D1 has it no more."""
    await world.play(whole)
    client = await world.client()
    assert [model.id async for model in client.models.list()] == ["hello", "pair"]
    await world.drain()
    await world.edge.run(Statement("DELETE FROM keys WHERE hash = ?1", (hash_key(client.api_key).hex(),)))
    assert (await ask(client)).status_code == 200


# -- all of it ---------------------------------------------------------------------------------------------------------


async def test_smoke(world: Deployed) -> None:
    """The smoke test finds nothing wrong."""

    async def script(exchange: Exchange) -> None:
        asked = json.loads(exchange.asked.body)
        if not asked.get("stream"):
            return await whole(exchange)
        words = [answers.chunk({"content": "one "}) for _ in range(asked["max_tokens"])]
        await exchange.send(HEAD)
        for word in words:
            await exchange.send(chunked(word))
            await asyncio.sleep(0.005)
        return await exchange.send(
            chunked(
                answers.chunk({}, "stop"),
                answers.chunk({}, None, choices=[], usage=answers.USAGE),
                b"data: [DONE]\n\n",
            ),
            END,
        )

    await world.play(script)
    client = await world.client(permissions=frozenset({*DEFAULT_PERMISSIONS, Permission.KEYS_WRITE}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.smoke", "--url", world.edge.url),
        cwd=REPOSITORY,
        env={**os.environ, "SLUICE_KEY": client.api_key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, said.decode()
