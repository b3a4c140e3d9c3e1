"""A client that leaves, by each policy: what the provider goes on with, what is booked, and what corrects it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from common.adapters.background import TaskBackground
from common.adapters.upstream.pooled import PooledUpstream
from common.gateway.job import JobContext, run_job
from common.gateway.reconciliation import GIVE_UP_AFTER
from common.metering.standing import COMMITTED_TOTAL, IN_FLIGHT
from common.model.limits import Limit
from common.model.usage import Booked, CountedIn, Outcome, Tokens, UsageRecord
from common.targets.registry import job_of
from tests.support.billing import GENERATION, BillingProvider, generation
from tests.support.gateway import MemoryGateway, memory_gateway
from tests.support.origin import Origin, origin
from tests.support.scripted import LogLines, logging_to
from tests.support.served import served

ASK: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "Say hello."}]
CENT: Final = 10**7  # nano-dollars
USED: Final = 9 * 1_000 + 2 * 10_000  # nano-dollars: what the answer's own usage comes to
TOML: Final = """
[providers.one]
kind = "{kind}"
base_url = "{url}/v1"
api_key = "env:KEY"
{policy}
[models.hello]
targets = ["one/hello"]
price = {{ input = "1", output = "10" }}
context_length = 100_000
"""


@dataclass(frozen=True, slots=True)
class World:
    """What a test looks at."""

    client: openai.AsyncOpenAI
    held: MemoryGateway
    provider: BillingProvider
    origin: Origin
    background: TaskBackground
    log: LogLines

    async def ended(self) -> None:
        """Return when a request is over for the gateway's application: its line is in the log."""
        async with asyncio.timeout(5):
            while not self.log.json:  # noqa: ASYNC110 - the log tells nobody
                await asyncio.sleep(0.001)

    async def leave(self, *, streamed: bool = True) -> None:
        """Ask, and leave: after the first word of a stream, or before a whole answer comes."""
        if streamed:
            stream = await self.client.chat.completions.create(
                model="hello", messages=ASK, max_tokens=100, stream=True
            )
            await anext(aiter(stream))
            await stream.close()
            return
        asking = asyncio.create_task(
            self.client.chat.completions.create(model="hello", messages=ASK, max_tokens=100)
        )
        await self.origin.arrived.wait()
        asking.cancel()
        await asyncio.wait([asking])

    async def record(self) -> UsageRecord:
        """The one that there is, once it is settled."""
        async with asyncio.timeout(5):
            while not self.held.rows.records:  # noqa: ASYNC110 - the gateway tells nobody
                await asyncio.sleep(0.001)
        return self.now

    @property
    def now(self) -> UsageRecord:
        """The record as it is."""
        (record,) = self.held.rows.records.values()
        return record

    @property
    def counts(self) -> tuple[int, int]:
        """What the key has committed, and how many holds it has."""
        counts = self.held.rows.standings["key:key_test"].counts
        return counts[COMMITTED_TOTAL], counts[IN_FLIGHT]

    async def reconcile(self) -> dict[str, int]:
        """Run the job."""
        held = self.held
        return dict(await run_job(job_of("reconcile"), JobContext(held.gateway, held.rows, held.keys)))

    def grow_older(self, ms: int) -> None:
        """As if the request had come so much earlier."""
        record = self.now
        self.held.rows.records[record.request_id] = replace(record, started_ms=record.started_ms - ms)


@asynccontextmanager
async def world(kind: str, policy: str = "") -> AsyncIterator[World]:
    """A gateway with a key that may spend 90 cents, before one provider."""
    upstream, background, provider = PooledUpstream(), TaskBackground(), BillingProvider()
    try:
        async with origin(provider) as listening:
            held = await memory_gateway(
                TOML.format(kind=kind, url=listening.url, policy=policy and f'on_disconnect = "{policy}"'),
                upstream,
                {"KEY": "provider-secret"},
                overrides={Limit.BUDGET_TOTAL: 90 * CENT},
            )
            async with (
                served(held.app(), background) as url,
                openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=held.key, max_retries=0) as client,
            ):
                log = LogLines()
                with logging_to(log):
                    yield World(client, held, provider, listening, background, log)
            provider.go_on.set()
    finally:
        await upstream.close()


BOTH: Final = pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])


async def test_cancel() -> None:
    """Where closing the connection ends the bill, it is closed, and what was seen is booked for good."""
    async with world("openai") as at:
        await at.leave()
        record = await at.record()
        assert (record.outcome, record.estimated, record.awaiting) == (Outcome.CANCELLED, True, None)
        assert record.route[0].booked is Booked.ESTIMATE
        assert record.cost_nanousd < record.held_nanousd
        async with asyncio.timeout(5):
            await at.origin.exchanges[0].left.wait()
        assert await at.reconcile() == {"corrected": 0, "given up": 0, "left": 0}


@BOTH
async def test_drain(*, streamed: bool) -> None:
    """The answer is read on when the client has left, and settled with its own usage; until then its hold stands."""
    async with world("openai", "drain") as at:
        await at.leave(streamed=streamed)
        await at.ended()
        assert not at.held.rows.records
        assert at.counts[1] == 1
        assert json.loads(at.log.json[0])["outcome"] == "cancelled"
        at.provider.go_on.set()
        record = await at.record()
        assert not at.provider.left_early
        assert (record.outcome, record.estimated) == (Outcome.CANCELLED, False)
        assert (record.cost_nanousd, record.tokens) == (USED, Tokens(input=9, output=2))
        assert record.route[0].ended == "ok"
        assert at.counts == (USED, 0)


@BOTH
async def test_a_drain_is_cut_when_the_process_ends(*, streamed: bool) -> None:
    """Whoever has to end settles with what is known by then: all that was held, for it may go on."""
    async with world("openai", "drain") as at:
        await at.leave(streamed=streamed)
        await at.ended()
        assert await at.background.drain(1) == 0
        record = at.now
        assert (record.outcome, record.estimated) == (Outcome.CANCELLED, True)
        assert record.route[0].booked is Booked.HOLD
        assert at.counts == (record.held_nanousd, 0)


async def test_drained_answers_of_clients_that_stay() -> None:
    """Who stays gets the same answer as ever, streamed and whole."""
    async with world("openai", "drain") as at:
        at.provider.go_on.set()
        whole = await at.client.chat.completions.create(model="hello", messages=ASK)
        assert whole.choices[0].message.content == "word " * 5
        stream = await at.client.chat.completions.create(model="hello", messages=ASK, stream=True)
        words = [event.choices[0].delta.content async for event in stream if event.choices]
        assert [word for word in words if word] == ["word"] * 5
        assert await at.background.drain(5) == 0
        assert [each.outcome for each in at.held.rows.records.values()] == [Outcome.OK] * 2
        assert at.counts == (2 * USED, 0)


async def test_reconcile() -> None:
    """All that was held is booked, until the provider tells what it charged; that replaces it, once."""
    async with world("openrouter") as at:
        await at.leave()
        record = await at.record()
        assert (record.awaiting, record.estimated) == (CountedIn.KEY, True)
        assert record.cost_nanousd == record.held_nanousd
        assert record.provider_request_id == GENERATION
        assert await at.reconcile() == {"corrected": 0, "given up": 0, "left": 1}
        assert at.now == record
        at.provider.told = generation(prompt=9, completion=5, cost=0.00012, native_tokens_cached=4)
        assert await at.reconcile() == {"corrected": 1, "given up": 0, "left": 0}
        after = at.now
        assert (after.awaiting, after.estimated, after.outcome) == (None, False, Outcome.CANCELLED)
        assert after.tokens == Tokens(input=5, cache_read=4, output=5)
        assert after.cost_nanousd == 9 * 1_000 + 5 * 10_000
        assert after.provider_cost_nanousd == 120_000
        assert after.route[0].booked is Booked.USAGE
        assert at.counts == (after.cost_nanousd, 0)
        assert at.provider.asked_for == [GENERATION] * 2
        assert await at.reconcile() == {"corrected": 0, "given up": 0, "left": 0}
        assert at.now == after


async def test_the_credentials_go_along() -> None:
    """A generation is asked for with the provider's key, and with nothing of the request's."""
    async with world("openrouter") as at:
        await at.leave()
        await at.record()
        await at.reconcile()
        asked = at.origin.exchanges[-1].asked
        assert (asked.method, asked.target) == ("GET", f"/v1/generation?id={GENERATION}")
        assert asked.values("authorization") == ["Bearer provider-secret"]
        assert asked.body == b""


@pytest.mark.parametrize(
    "told",
    [
        generation(completion=10**6),
        generation(prompt=10**9),
        generation(completion=-5),
        generation(completion="5"),
        generation(completion=True),
        generation(native_tokens_reasoning=6),
        generation(prompt=0, native_tokens_cached=9),
    ],
    ids=["output", "input", "negative", "text", "truth value", "reasoning", "cached"],
)
async def test_what_cannot_be_true(told: dict[str, Any]) -> None:
    """A provider that tells what cannot be true corrects nothing: what was held stays booked, for good."""
    async with world("openrouter") as at:
        await at.leave()
        before = await at.record()
        at.provider.told = told
        await at.reconcile()
        after = at.now
        assert (after.awaiting, after.estimated) == (None, True)
        assert (after.cost_nanousd, after.tokens) == (before.cost_nanousd, before.tokens)
        assert at.counts == (before.held_nanousd, 0)


@pytest.mark.parametrize(
    "told", [{"native_tokens_prompt": None, "native_tokens_completion": None}, {}], ids=["null", "nothing"]
)
async def test_what_is_not_told_yet(told: dict[str, Any]) -> None:
    """An answer without counts is one that comes too early."""
    async with world("openrouter") as at:
        await at.leave()
        before = await at.record()
        at.provider.told = told
        assert (await at.reconcile())["left"] == 1
        assert at.now == before


async def test_giving_up() -> None:
    """After a day what was booked stands, and nobody asks any more."""
    async with world("openrouter") as at:
        await at.leave()
        before = await at.record()
        at.grow_older(int(GIVE_UP_AFTER.total_seconds() * 1000))
        assert await at.reconcile() == {"corrected": 0, "given up": 1, "left": 0}
        assert at.now.awaiting is None
        assert at.counts == (before.held_nanousd, 0)
        assert await at.reconcile() == {"corrected": 0, "given up": 0, "left": 0}
        assert len(at.provider.asked_for) == 1


async def test_a_provider_that_fails() -> None:
    """It is not asked for the others in that run; nothing is corrected, and the next run asks again."""
    async with world("openrouter") as at:
        for _ in range(3):
            await at.leave()
        async with asyncio.timeout(5):
            while len(at.held.rows.records) < 3:  # noqa: ASYNC110 - the gateway tells nobody
                await asyncio.sleep(0.001)
        before = dict(at.held.rows.records)
        at.provider.told, at.provider.status = generation(), "503 Service Unavailable"
        assert await at.reconcile() == {"corrected": 0, "given up": 0, "left": 3}
        assert at.held.rows.records == before
        at.provider.status = "200 OK"
        assert await at.reconcile() == {"corrected": 3, "given up": 0, "left": 0}
        assert at.counts == (3 * 59_000, 0)


async def test_nobody_knows_the_id() -> None:
    """An answer in one piece has its id in itself: who leaves before it comes leaves nothing to ask for."""
    async with world("openrouter") as at:
        await at.leave(streamed=False)
        record = await at.record()
        assert (record.awaiting, record.cost_nanousd) == (None, record.held_nanousd)
        assert await at.reconcile() == {"corrected": 0, "given up": 0, "left": 0}
