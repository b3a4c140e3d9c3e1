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


def logged(folder: Path, words: str) -> bool:
    """Whether an entry of the log has these words."""
    lines = (folder / "log").read_text().splitlines()
    return any(words in json.loads(line).get("message", "") for line in lines if line.startswith("{"))


async def edge(world: Deployed, what: str, **more: object) -> None:
    """See `serve.mjs`."""
    await asyncio.wrap_future(world.edge.ask(what, **more))


async def test_setting_up(world: Deployed, folder: Path) -> None:
    """A Worker without its tables or a binding says so in its log, and serves as soon as they are there."""
    nobody = openai.AsyncOpenAI(base_url=f"{world.edge.url}/v1", api_key=UNKNOWN_KEY, max_retries=0)
    await edge(world, "bind", name="KV", bound=False)
    with pytest.raises(openai.InternalServerError) as caught:
        await nobody.models.list()
    assert (caught.value.code, logged(folder, "The KV binding KV is missing")) == ("internal_error", True)
    await edge(world, "bind", name="KV", bound=True)
    assert await nobody.get("../health", cast_to=object) == {"status": "ok"}  # it asks nobody
    with pytest.raises(openai.InternalServerError) as caught:
        await nobody.models.list()
    assert (caught.value.status_code, logged(folder, "migrations apply")) == (503, True)
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
