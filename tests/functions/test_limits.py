"""Limits and money through the official client: what is refused, how it is told, what is booked."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from common.adapters.background import TaskBackground
from common.adapters.upstream.pooled import PooledUpstream
from common.metering.standing import COMMITTED_TOTAL, IN_FLIGHT
from common.model.ids import UserId
from common.model.limits import Limit
from common.model.principal import UserRecord
from common.model.usage import UsageRecord
from tests.support import answers
from tests.support.gateway import MemoryGateway, memory_gateway
from tests.support.origin import Exchange, Origin, origin
from tests.support.served import served

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
Script = Callable[[Exchange], Awaitable[None]]
CENT = 10**7  # nano-dollars

TOML = """
[routing]
retries = 0
[providers.one]
kind = "openai"
base_url = "{url}/one"
[providers.two]
kind = "openai"
base_url = "{url}/two"
[models.hello]
targets = ["one/hello"]
price = {{ input = "1", output = "10" }}    # a cent is 1,000 tokens of output
context_length = 100_000
[models.twice]
targets = ["one/first", "two/second"]
price = {{ input = "1", output = "10" }}
context_length = 100_000
[models.bounded]
targets = ["one/bounded"]
price = {{ input = "1", output = "10" }}
context_length = 100_000
max_output_tokens = 4_000
[models.unpriced]
targets = ["one/unpriced"]
"""
CACHED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}


@dataclass(frozen=True, slots=True)
class World:
    """What a test looks at."""

    client: openai.AsyncOpenAI
    held: MemoryGateway
    provider: Origin
    background: TaskBackground

    async def ask(self, model: str = "hello", **more: Any) -> Any:
        """A completion, with its headers."""
        asked: dict[str, Any] = {"model": model, "messages": ASK, **more}
        return await self.client.chat.completions.with_raw_response.create(**asked)

    async def records(self, count: int) -> list[UsageRecord]:
        """Every settlement, once there are `count`."""
        async with asyncio.timeout(5):
            while len(self.held.meter.settled) < count:  # noqa: ASYNC110 - the gateway tells nobody
                await asyncio.sleep(0.001)
        await self.background.drain(5)
        return self.held.meter.settled

    async def asked(self, count: int) -> None:
        """Return once the provider has been asked `count` times."""
        async with asyncio.timeout(5):
            while len(self.provider.exchanges) < count:  # noqa: ASYNC110 - nor does the provider
                await asyncio.sleep(0.001)

    @property
    def committed(self) -> int:
        """Nano-dollars that are spent or held by the key."""
        return self.held.rows.standings["key:key_test"].counts[COMMITTED_TOTAL]


class Provider:
    """Answers with the usage it is told to report; may be held back, or fail at one of its addresses."""

    def __init__(self, output: int = 2) -> None:
        self.usage = {"prompt_tokens": 9, "completion_tokens": output, "total_tokens": 9 + output}
        self.open = asyncio.Event()
        self.open.set()
        self.cut: set[str] = set()

    async def __call__(self, exchange: Exchange) -> None:
        """Play one exchange."""
        await self.open.wait()
        if exchange.asked.target.split("/")[1] in self.cut:
            exchange.close()
            return
        await exchange.answer(
            answers.completion(usage=self.usage), "200 OK", "content-type: application/json"
        )


@asynccontextmanager
async def world(provider: Script, **limits: int | None) -> AsyncIterator[World]:
    """A gateway whose one key has these limits."""
    overrides: Mapping[Limit, int | None] = {Limit(name): value for name, value in limits.items()}
    upstream, background = PooledUpstream(), TaskBackground()
    async with origin(provider) as served_origin:
        held = await memory_gateway(TOML.format(url=served_origin.url), upstream, overrides=overrides)
        async with (
            served(held.app(), background) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=held.key, max_retries=0) as client,
        ):
            yield World(client, held, served_origin, background)
        await upstream.close()


async def test_rate() -> None:
    """The request above the limit is a rate limit error with the time to wait; headers count down to it."""
    async with world(Provider(), requests_per_minute=2) as w:
        first = await w.ask()
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert (await w.ask()).headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as caught:
            await w.ask()
        assert caught.value.code == "rate_limit_exceeded"
        headers = caught.value.response.headers
        assert 60 <= int(headers["retry-after"]) <= 70
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert "x-should-retry" not in headers
        assert "2 requests per minute" in caught.value.message
        assert len(w.provider.exchanges) == 2


async def test_many_at_once() -> None:
    """Fifty requests at the same time, and room for seven: seven are answered."""
    async with world(Provider(), requests_per_minute=7) as w:
        outcomes = await asyncio.gather(*(w.ask() for _ in range(50)), return_exceptions=True)
        assert sum(isinstance(each, openai.RateLimitError) for each in outcomes) == 43
        assert len(w.provider.exchanges) == 7


async def test_parallel() -> None:
    """Whoever has as many requests running as allowed waits for one of them to end."""
    provider = Provider()
    provider.open.clear()
    async with world(provider, max_parallel=1) as w:
        running = asyncio.create_task(w.ask())
        await w.asked(1)
        with pytest.raises(openai.RateLimitError) as caught:
            await w.ask()
        assert caught.value.response.headers["retry-after"] == "1"
        provider.open.set()
        await running
        await w.records(1)
        await w.ask()


async def test_budget_is_spent_to_the_last() -> None:
    """What is booked is what was used, to the nano-dollar; a spent budget is told so that nobody tries again."""
    async with world(Provider(output=1_000), budget_total=2 * CENT + 2_000_000) as w:
        for _ in range(2):
            await w.ask(max_tokens=1_000)
        await w.records(2)
        assert w.committed == 2 * (9 * 1_000 + 1_000 * 10_000)
        with pytest.raises(openai.RateLimitError) as caught:
            await w.ask(max_tokens=1_000, tools=[{"type": "function", "function": {"name": "f"}}])
        assert caught.value.code == "insufficient_quota"
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert "$0.022" in caught.value.message


async def test_output_is_lowered_to_what_the_money_pays() -> None:
    """With less left than was asked for, the answer is bounded by it, and the client is told the bound."""
    async with world(Provider(output=10), budget_total=CENT // 2) as w:
        answer = await w.ask(max_tokens=1_000)
        lowered = int(answer.headers["x-sluice-max-tokens"])
        assert 300 < lowered < 500
        assert json.loads(w.provider.exchanges[0].asked.body)["max_tokens"] == lowered
        await w.records(1)
        assert w.committed == 9 * 1_000 + 10 * 10_000


async def test_money_that_is_held_may_come_back() -> None:
    """While the rest of a budget is only held, the client is told to try again, and it then succeeds."""
    provider = Provider(output=10)
    provider.open.clear()
    async with world(provider, budget_total=CENT) as w:
        running = asyncio.create_task(w.ask(max_tokens=900))
        await w.asked(1)
        with pytest.raises(openai.RateLimitError) as caught:
            await w.ask(max_tokens=900)
        assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("budget_in_flight", "1")
        provider.open.set()
        await running
        await w.records(1)
        await w.ask(max_tokens=900)


async def test_larger_than_the_limit() -> None:
    """What no waiting would ever let pass is the request's fault."""
    async with world(Provider(), tokens_per_minute=100) as w:
        with pytest.raises(openai.BadRequestError) as caught:
            await w.ask(max_tokens=1_000)
        assert caught.value.code == "request_too_large"


async def test_user_and_key() -> None:
    """A user's limit binds all keys together, and the error says whose it is."""
    async with world(Provider(), requests_per_minute=5) as w:
        await w.held.users.put(UserRecord(UserId("alice"), 1, overrides={Limit.REQUESTS_PER_MINUTE: 1}))
        await w.ask()
        with pytest.raises(openai.RateLimitError) as caught:
            await w.ask()
        assert "This user has" in caught.value.message


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        pytest.param({"model": "unpriced"}, "unpriced_model", "model", id="no price"),
        pytest.param({"service_tier": "priority"}, "unpriced_feature", "service_tier", id="tier"),
        pytest.param(
            {"extra_body": {"plugins": [{"id": "web"}]}}, "unpriced_feature", "plugins", id="plugins"
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [CACHED]}]},
            "unpriced_feature",
            "messages[0].content.cache_control",
            id="a long cache",
        ),
        pytest.param(
            {"tools": [{"type": "web_search"}]}, "unpriced_feature", "tools[0].type", id="server tool"
        ),
    ],
)
async def test_what_has_no_price(more: dict[str, Any], code: str, param: str) -> None:
    """Whoever is bound by money cannot spend what nobody has priced; nothing is sent."""
    async with world(Provider(), budget_total=CENT) as w:
        with pytest.raises(openai.BadRequestError) as caught:
            await w.ask(**{"max_tokens": 10, **more})
        assert (caught.value.code, caught.value.param) == (code, param)
        assert w.provider.exchanges == []


async def test_output_maximum_is_sent_where_money_binds() -> None:
    """A request that does not bound its answer gets the bound that is held for it."""
    async with world(Provider(), budget_total=200 * CENT) as w:
        await w.ask("bounded")
        assert json.loads(w.provider.exchanges[0].asked.body)["max_tokens"] == 4_000


async def test_a_whole_context_is_no_maximum_to_send() -> None:
    """Where only the context bounds an answer, it is held for, and no maximum is sent that fits beside no prompt."""
    async with world(Provider(), budget_total=200 * CENT) as w:
        await w.ask()
        assert "max_tokens" not in json.loads(w.provider.exchanges[0].asked.body)
        (record,) = await w.records(1)
        assert record.held_nanousd > 100 * CENT


async def test_a_spent_budget_is_told_whatever_is_asked() -> None:
    """A request whose whole output costs more than the budget is lowered while money is left, then told it is spent."""
    async with world(Provider(output=1_995), budget_total=2 * CENT) as w:
        first = await w.ask()
        assert "x-sluice-max-tokens" in first.headers
        await w.records(1)
        with pytest.raises(openai.RateLimitError) as caught:
            await w.ask()
        assert caught.value.code == "insufficient_quota"
        assert caught.value.response.headers["x-should-retry"] == "false"


async def test_one_token_may_be_too_large() -> None:
    """A request that fits into the budget with no output at all is told so, and not that the money is spent."""
    async with world(Provider(), budget_total=1_000) as w:
        with pytest.raises(openai.BadRequestError) as caught:
            await w.ask()
        assert caught.value.code == "request_too_large"


async def test_second_attempt_is_held_for() -> None:
    """Before a second provider is asked while the first may charge, the hold grows; both are booked."""
    provider = Provider(output=10)
    provider.cut = {"one"}
    async with world(provider, budget_total=5 * CENT) as w:
        await w.ask("twice", max_tokens=1_000)
        (record,) = await w.records(1)
        assert record.attempts == 2
        assert record.held_nanousd > 2 * CENT
        assert record.cost_nanousd <= record.held_nanousd
        assert w.committed == record.cost_nanousd


async def test_second_attempt_is_not_made_on_credit() -> None:
    """Where the money does not cover a second attempt, the first one's failure stands."""
    provider = Provider(output=10)
    provider.cut = {"one"}
    async with world(provider, budget_total=CENT + CENT // 2) as w:
        with pytest.raises(openai.InternalServerError) as caught:
            await w.ask("twice", max_tokens=1_000)
        assert caught.value.response.headers["x-sluice-attempts"] == "1"
        assert [exchange.asked.target for exchange in w.provider.exchanges] == ["/one/chat/completions"]


async def test_lies_are_not_believed() -> None:
    """Usage that cannot be true is replaced by an estimate within what was held."""
    async with world(Provider(output=10**9), budget_total=10 * CENT) as w:
        await w.ask(max_tokens=1_000)
        (record,) = await w.records(1)
        assert record.estimated
        assert record.cost_nanousd <= record.held_nanousd


async def test_output_beyond_the_line_is_cut() -> None:
    """A provider that goes on and on is left, and the client is told that the length is reached."""

    async def endless(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        event = answers.chunk({"content": "more "})
        while not exchange.left.is_set():
            await exchange.send(b"%x\r\n%b\r\n" % (len(event), event))
            await asyncio.sleep(0)

    async with world(endless, max_parallel=1) as w:
        stream = await w.client.chat.completions.create(
            model="hello", messages=ASK, max_tokens=40, stream=True
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].choices[0].finish_reason == "length"
        assert chunks[-1].id == chunks[0].id
        assert 114 < len(chunks) < 2_000
        await asyncio.wait_for(w.provider.exchanges[0].left.wait(), 5)
        (record,) = await w.records(1)
        assert (record.estimated, record.tokens.output) == (True, 40)


async def test_nothing_stays_in_flight() -> None:
    """However requests end, no hold is left."""
    provider = Provider()
    provider.cut = {"one"}
    async with world(provider, budget_total=10 * CENT, max_parallel=5) as w:
        await w.ask("twice", max_tokens=10)
        for model in ("hello", "nope"):
            with pytest.raises(openai.APIError):
                await w.ask(model, max_tokens=10)
        await w.records(2)
        assert w.held.rows.standings["key:key_test"].counts[IN_FLIGHT] == 0
        assert w.held.rows.standings["key:key_test"].holds == {}
