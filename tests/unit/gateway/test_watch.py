"""The job `probe`: whom it asks, how often, and what others hear of it. Time is a test's; nothing is sent."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from common.adapters.memory import MemoryBreakerStore
from common.gateway import watch as watching
from common.gateway.gateway import Gateway
from common.gateway.job import JobContext
from common.gateway.watch import MOST_TRIES, watch
from common.model.errors import UpstreamUnreachable
from common.ports import UpstreamRequest, UpstreamResponse
from common.routing.breaker import NEEDED, REST_MS, VOLUME, Breaker, BreakerState, from_text, to_text
from common.routing.health import RECENT_MS, Health
from common.routing.recourse import Recourse
from common.routing.sharing import Sharing
from functions import probe
from tests.support.answers import completion
from tests.support.clock import FakeClock
from tests.support.gateway import memory_gateway

SETTINGS: Final = """
[routing]
probe = true
[providers.one]
kind = "openai"
base_url = "http://one/v1"
[providers.two]
kind = "openai"
base_url = "http://two/v1"
[providers.here]
kind = "embedded"
[models.both]
targets = ["one/m", "two/m", "here/m"]
[models.again]
targets = ["two/m"]
[models."one/*"]
targets = ["one/*"]
"""
ONE: Final = ("one", "m")


@dataclass
class Answer:
    """An `UpstreamResponse`."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    async def read(self) -> bytes:
        """See `UpstreamResponse.read`."""
        body, self.body = self.body, b""
        return body


class Providers:
    """An `Upstream` before both."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status: dict[str, int] = {}  # of what does not answer
        self.headers: dict[str, str] = {}

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """See `Upstream.send`."""
        host = request.url.split("/")[2]
        self.asked.append(host)
        status = self.status.get(host, 200)
        if status == 0:
            raise UpstreamUnreachable("no")
        yield Answer(status, completion() if status == 200 else b"{}", self.headers)


@dataclass(frozen=True, slots=True)
class World:
    """A gateway, and others that share its store."""

    gateway: Gateway
    providers: Providers
    clock: FakeClock
    store: MemoryBreakerStore
    pauses: list[float]

    async def asked(self) -> Sequence[str]:
        """Run the job; whom it has asked."""
        before = len(self.providers.asked)
        await watch(self.gateway)
        return sorted(self.providers.asked[before:])

    async def published(self) -> dict[str, BreakerState]:
        """What others can read."""
        texts = await self.store.read(["one/m", "two/m"])
        found = {name: from_text(text) for name, text in texts.items()}
        return {name: breaker.state for name, breaker in found.items() if breaker is not None}

    def states(self) -> dict[tuple[str, str], BreakerState]:
        """Of the breakers that are not closed."""
        return dict(self.gateway.health.troubled(self.clock.now_ms()))


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Pauses pass at once."""
    clock, providers, health, pauses = FakeClock(), Providers(), Health(), []
    store = MemoryBreakerStore(clock)
    held = await memory_gateway(SETTINGS, providers, clock=clock)
    gateway = replace(held.gateway, health=health, sharing=Sharing(health, store), rng=random.Random(1))

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return World(gateway, providers, clock, store, pauses)


def a_request(world: World, key: tuple[str, str], recourse: Recourse | None = None) -> None:
    """What a client's request leaves behind."""
    targets = world.gateway.settings.models["both"].targets
    target = {(each.provider, each.model): each for each in targets}[key]
    now_ms = world.clock.now_ms()
    world.gateway.health.ended(target, world.gateway.health.started(target, now_ms), now_ms, recourse)


async def test_whoever_was_not_asked(world: World) -> None:
    """Each target once, though two models have it; not the embedded model, nor what a star stands for."""
    assert await world.asked() == ["one", "two"]
    assert world.states() == {}
    assert await world.published() == {}


async def test_not_where_clients_ask(world: World) -> None:
    """Traffic tells already; a minute without it is long enough."""
    a_request(world, ONE)
    assert await world.asked() == ["two"]
    assert await world.asked() == []
    world.clock.advance(RECENT_MS / 1000)
    assert await world.asked() == ["one", "two"]


@pytest.mark.parametrize("status", [503, 0], ids=["failing", "unreachable"])
async def test_one_that_fails(world: World, status: int) -> None:
    """It is asked again, with pauses, until its breaker opens, which others hear of."""
    world.providers.status["one"] = status
    assert await watch(world.gateway) == (1, 1)
    assert world.providers.asked.count("one") == VOLUME <= MOST_TRIES
    assert len(world.pauses) == VOLUME - 1
    assert world.states() == {ONE: BreakerState.OPEN}
    assert await world.published() == {"one/m": BreakerState.OPEN}


async def test_not_while_it_rests(world: World) -> None:
    """An open breaker is left alone until its rest is over; then it closes with as many answers as it needs."""
    world.providers.status["one"] = 503
    await watch(world.gateway)
    world.clock.advance(REST_MS / 1000 - 0.001)
    assert await world.asked() == []
    world.clock.advance(0.001)
    del world.providers.status["one"]
    assert await world.asked() == ["one"] * NEEDED
    assert world.states() == {}
    assert (await world.published())["one/m"] is BreakerState.CLOSED


async def test_a_probe_that_fails_again(world: World) -> None:
    """One is enough to open it anew."""
    world.providers.status["one"] = 503
    await watch(world.gateway)
    world.clock.advance(REST_MS / 1000)
    assert await world.asked() == ["one"]
    assert world.states() == {ONE: BreakerState.OPEN}


async def test_what_others_have_seen(world: World) -> None:
    """A process without traffic hears of open breakers before it asks; a clean bill is for all."""
    now_ms = world.clock.now_ms()
    await world.store.publish("two/m", to_text(Breaker(BreakerState.OPEN, now_ms)))
    assert await world.asked() == ["one"]
    world.clock.advance(REST_MS / 1000)
    assert await world.asked() == ["two"] * NEEDED
    assert (await world.published())["two/m"] is BreakerState.CLOSED


@pytest.mark.parametrize(
    ("status", "headers"),
    [(400, {}), (429, {"retry-after": "600"})],
    ids=["a request that it does not take", "a long wait"],
)
async def test_no_use_in_asking_again(world: World, status: int, headers: dict[str, str]) -> None:
    """What the same request, or the same minute, will not change is left at that; the breaker stays closed."""
    world.providers.status["one"], world.providers.headers = status, headers
    assert await watch(world.gateway) == (1, 1)
    assert world.providers.asked.count("one") == 1
    assert world.states() == {}


async def test_no_extra_load_counts_as_requests(world: World) -> None:
    """Tries in a row give no allowance of retries to clients."""
    world.providers.status["one"] = 503
    await watch(world.gateway)
    load: Any = world.gateway.health._loads["one"]
    assert load.requests == 1


async def test_a_process_alone(world: World) -> None:
    """Without a store, the process itself goes by it."""
    alone = replace(world, gateway=replace(world.gateway, sharing=None))
    world.providers.status["one"] = 503
    await alone.asked()
    assert alone.states() == {ONE: BreakerState.OPEN}
    assert await world.published() == {}


async def test_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Each probe is a line, with its cost as far as it is known: no key's record has it."""
    world.providers.status["two"] = 400
    with caplog.at_level("INFO", "sluice.probe"):
        await watch(world.gateway)
    assert sorted(caplog.messages) == [
        "probe of one/m: ok in 0 ms, its cost is not known",
        "probe of two/m: rejected in 0 ms, 0 USD",
    ]


@pytest.mark.parametrize("wanted", [True, False])
async def test_job(world: World, *, wanted: bool) -> None:
    """It costs something, so it is off unless it is turned on."""
    routing = replace(world.gateway.settings.routing, probe=wanted)
    gateway = replace(world.gateway, settings=replace(world.gateway.settings, routing=routing))
    context: Any = JobContext(gateway, rows=None, keys=None)  # type: ignore[arg-type] # it uses neither
    report = await probe.job.run(context)
    assert report == ({"answered": 2, "failed": 0} if wanted else {})
    assert bool(world.providers.asked) == wanted


async def test_few_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many targets there are."""
    monkeypatch.setattr(watching, "AT_ONCE", 1)
    under_way = 0
    original = world.providers.send

    @asynccontextmanager
    async def send(request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        async with original(request) as response:
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(turn.set_result, None)
            await turn
            yield response
        under_way -= 1

    monkeypatch.setattr(world.providers, "send", send)
    assert await watch(world.gateway) == (2, 0)
