"""Workers whose stores are missing, behind, or failing."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio

from common.model.usage import Outcome
from common.targets.cloudflare.crons import cron_of
from functions.repair import job as repair
from tests.edge.deployed import Deployed, ask, deployed, whole
from tests.support.gateway import UNKNOWN_KEY
from tests.support.origin import Exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")

KV_FAILED = "KV failed: the database is asked"
OVERLOADED = "D1_ERROR: D1 DB is overloaded. Requests queued for too long."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the log is."""
    return tmp_path_factory.mktemp("workers")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(folder: Path) -> AsyncIterator[Deployed]:
    """A deployment whose database nobody has migrated yet. The tests follow each other."""
    async with deployed(folder, migrated=False) as opened:
        yield opened


def logged(folder: Path, words: str) -> int:
    """How many entries of the log have these words."""
    lines = (folder / "log").read_text().splitlines()
    return sum(words in json.loads(line).get("message", "") for line in lines if line.startswith("{"))


async def edge(world: Deployed, what: str, **more: object) -> None:
    """See `serve.mjs`."""
    await asyncio.wrap_future(world.edge.ask(what, **more))


async def test_setting_up(world: Deployed, folder: Path) -> None:
    """A Worker without its tables or a binding says so in its log, and serves as soon as they are there."""
    nobody = openai.AsyncOpenAI(base_url=f"{world.edge.url}/v1", api_key=UNKNOWN_KEY, max_retries=0)
    for binding in ("The KV binding KV", "The D1 binding DB"):
        name = binding.rpartition(" ")[2]
        await edge(world, "bind", name=name, bound=False)
        with pytest.raises(openai.InternalServerError) as caught:
            await nobody.models.list()
        assert (caught.value.code, logged(folder, f"{binding} is missing")) == ("internal_error", 1)
        await edge(world, "bind", name=name, bound=True)
    assert await nobody.get("../health", cast_to=object) == {"status": "ok"}  # it asks nobody
    with pytest.raises(openai.InternalServerError) as caught:
        await nobody.models.list()
    assert (caught.value.status_code, logged(folder, "migrations apply")) == (503, 1)
    world.edge.migrate()
    with pytest.raises(openai.AuthenticationError):
        await nobody.models.list()
    await nobody.close()


@pytest.mark.parametrize("fault", [OVERLOADED, "D1_ERROR: Network connection lost."])
async def test_database_fails(world: Deployed, fault: str) -> None:
    """While D1 fails nothing is admitted: the answer is a 503 to come back from, and no provider is asked."""
    await world.play(whole)
    client = await world.client(requests_per_minute=5)
    await ask(client)
    await world.drain()
    await edge(world, "fault", fault=fault)
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(client)
    await edge(world, "fault")
    assert (caught.value.status_code, caught.value.code) == (503, "storage_unavailable")
    assert int(caught.value.response.headers["retry-after"]) > 0
    assert len(world.provider.exchanges) == 1
    assert (await ask(client)).status_code == 200


async def test_database_is_silent(world: Deployed) -> None:
    """A D1 that does not answer is given up in seconds: a 503, and no provider is asked."""
    await world.play(whole)
    client = await world.client(requests_per_minute=5)
    await ask(client)
    await world.drain()
    await edge(world, "fault", fault="silence")
    with pytest.raises(openai.InternalServerError) as caught:
        async with asyncio.timeout(15):
            await ask(client)
    await edge(world, "fault")
    assert (caught.value.status_code, caught.value.code) == (503, "storage_unavailable")
    assert len(world.provider.exchanges) == 1
    left = await world.drain()
    assert (left["waiting"], left["rejections"]) == (0, [])


async def test_leaving_while_the_database_is_asked(world: Deployed) -> None:
    """Who leaves before being admitted costs nothing and holds nothing, whenever D1 answers."""
    await world.play(whole)
    client = await world.client(max_parallel=1)
    await ask(client)
    await world.drain()
    await edge(world, "fault", fault="silence")
    asking = asyncio.create_task(ask(client))
    await edge(world, "held")
    asking.cancel()
    await asyncio.wait([asking])
    await edge(world, "fault")
    left = await world.drain()
    assert (left["waiting"], left["rejections"]) == (0, [])
    assert len(world.provider.exchanges) == 1
    assert (await ask(client)).status_code == 200


@pytest.mark.parametrize("fault", ["KV GET failed: 503 Service Unavailable", "silence"])
async def test_kv_fails(world: Deployed, folder: Path, fault: str) -> None:
    """While KV fails, or does not answer, keys are looked up in D1, and a line says so."""
    await world.play(whole)
    client = await world.client()
    lines = logged(folder, KV_FAILED)
    await edge(world, "fault", store="KV", fault=fault)
    async with asyncio.timeout(10):
        answer = await ask(client)
    await edge(world, "fault", store="KV")
    assert (answer.status_code, logged(folder, KV_FAILED)) == (200, lines + 1)
    left = await world.drain()
    assert (left["waiting"], left["rejections"]) == (0, [])


async def test_settlement_fails(world: Deployed) -> None:
    """A record that D1 does not take is kept in KV, and settled by the job when D1 is back."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        asked.set()
        await go_on.wait()
        await whole(exchange)

    await world.play(script)
    client = await world.client(requests_per_minute=5)
    asking = asyncio.create_task(ask(client))
    await asyncio.wait_for(asked.wait(), 20)
    await edge(world, "fault", fault="D1_ERROR: out of order")
    go_on.set()
    request_id = (await asking).headers["x-request-id"]
    await world.drain()
    await edge(world, "fault")
    assert await world.record(request_id) is None
    await edge(world, "scheduled", worker="jobs", cron=cron_of(repair.every))
    record = await world.record(request_id)
    assert record is not None
    assert (record.outcome, record.abandoned) == (Outcome.OK, False)


async def test_no_store_takes_a_record(world: Deployed, folder: Path) -> None:
    """A record that D1 refuses, while KV does not answer, is in the log, as a whole."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        asked.set()
        await go_on.wait()
        await whole(exchange)

    await world.play(script)
    client = await world.client(requests_per_minute=5)
    asking = asyncio.create_task(ask(client))
    await asyncio.wait_for(asked.wait(), 20)
    await edge(world, "fault", fault="D1_ERROR: out of order")
    await edge(world, "fault", store="KV", fault="silence")
    go_on.set()
    request_id = (await asking).headers["x-request-id"]
    left = await world.drain()
    await edge(world, "fault")
    await edge(world, "fault", store="KV")
    assert left["waiting"] == 0
    assert logged(folder, f'could not be kept: {{"request_id":"{request_id}"') == 1
