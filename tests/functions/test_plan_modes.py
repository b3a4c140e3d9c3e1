"""Plans that are lenient, through the official client: limits that are only observed, and a storage that fails."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from common.adapters.background import TaskBackground
from common.adapters.memory import MemoryRows
from common.adapters.upstream.pooled import PooledUpstream
from common.metering.rows import Change, Outcome, Records
from common.model.errors import StorageUnavailable
from common.model.limits import Limit
from common.telemetry.log_format import REQUESTS
from common.telemetry.request_facts import RequestFacts
from tests.support import answers
from tests.support.gateway import MemoryGateway, memory_gateway
from tests.support.origin import Exchange, origin
from tests.support.served import served

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
TOML = """
[providers.one]
kind = "openai"
base_url = "{url}/one"
[models.hello]
targets = ["one/hello"]
[plans.pilot]
requests_per_minute = {{ limit = 1, mode = "observe" }}
budget = {{ day = {{ limit = "0.01", mode = "observe" }} }}
[plans.lenient]
requests_per_minute = 2
on_storage_failure = "allow"
[plans.standard]
requests_per_minute = 2
"""


@dataclass(frozen=True, slots=True)
class World:
    """What a test looks at."""

    client: openai.AsyncOpenAI
    held: MemoryGateway
    background: TaskBackground

    async def ask(self) -> Any:
        """A completion, with its headers."""
        return await self.client.chat.completions.with_raw_response.create(model="hello", messages=ASK)


async def provider(exchange: Exchange) -> None:
    """Answer."""
    await exchange.answer(answers.completion(), "200 OK", "content-type: application/json")


@asynccontextmanager
async def world(plan: str) -> AsyncIterator[World]:
    """A gateway whose one key has this plan."""
    upstream, background = PooledUpstream(), TaskBackground()
    async with origin(provider) as served_origin:
        held = await memory_gateway(TOML.format(url=served_origin.url), upstream, plan=plan)
        async with (
            served(held.app(), background) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=held.key, max_retries=0) as client,
        ):
            yield World(client, held, background)
        await upstream.close()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the storage fails: the last of it."""
    fails, real = [True], MemoryRows.apply

    async def apply(rows: MemoryRows, changes: Sequence[Change], records: Records) -> Outcome:
        if fails[-1]:
            raise StorageUnavailable("The database failed.")
        return await real(rows, changes, records)

    monkeypatch.setattr(MemoryRows, "apply", apply)
    return fails


async def test_observed(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the limit requests are answered, the log says so, no header does, and unpriced models can be had."""
    with caplog.at_level(logging.WARNING, "sluice.limits"):
        async with world("pilot") as w:
            for _ in range(3):
                answer = await w.ask()
                assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
            assert w.held.rows.standings["key:key_test"].counts["day_requests"] == 3
    told = [each for each in caplog.messages if each.startswith("would have been refused: row=key:key_test")]
    assert len(told) == 2
    assert all(each.endswith("limits=requests_per_minute") for each in told)


async def test_observed_in_the_line_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    """The line of a request tells which limits would have refused it."""
    with caplog.at_level(logging.INFO, REQUESTS):
        async with world("pilot") as w:
            await w.ask()
            await w.ask()
    told = [each.msg for each in caplog.records if isinstance(each.msg, RequestFacts)]
    assert [each.observed for each in told] == [(), (Limit.REQUESTS_PER_MINUTE,)]


async def test_refused_while_the_storage_fails(failing: list[bool]) -> None:
    """M8: by default a request that cannot be counted is not admitted, and is told when to come again."""
    async with world("standard") as w:
        with pytest.raises(openai.InternalServerError) as caught:
            await w.ask()
        assert (caught.value.status_code, caught.value.code) == (503, "storage_unavailable")
        assert caught.value.response.headers["retry-after"] == "2"
        failing.append(False)
        await w.ask()


async def test_admitted_while_the_storage_fails(failing: list[bool]) -> None:
    """M8: where the plan allows it, requests are answered uncounted; the storage gets their records once it is back."""
    async with world("lenient") as w:
        for _ in range(4):
            await w.ask()
        failing.append(False)
        async with asyncio.timeout(5):
            while len(w.held.rows.records) < 4:  # noqa: ASYNC110 - the gateway tells nobody
                await asyncio.sleep(0.01)
        assert w.held.dead_letters.records == []
        await w.ask()
        assert w.held.rows.standings["key:key_test"].counts["day_requests"] == 1
