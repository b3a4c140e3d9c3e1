"""Breakers of several gateways on one store, over real sockets: whom they ask, and what they tell of it."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import openai
import pytest
from click.testing import CliRunner

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.adapters.memory import MemoryBreakerStore
from common.adapters.upstream.pooled import PooledUpstream
from common.cli.root import sluice
from common.gateway.gateway import Gateway
from common.http.app import create_app
from common.model.errors import StorageUnavailable
from common.model.principal import Permission
from common.ports import BreakerStore
from common.routing.breaker import VOLUME
from common.routing.health import Health
from common.routing.recourse import Recourse
from common.routing.sharing import PUBLISH_MS, Sharing
from common.settings import parse_settings
from common.targets.aws.root import gateway_on
from common.targets.cloudflare.wiring import wire
from tests.support.clock import FakeClock
from tests.support.cloudflare_api import open_api, open_stores
from tests.support.dynamodb import ENDPOINT, moto, open_dynamo
from tests.support.gateway import load_functions
from tests.support.origin import Script
from tests.support.pair import TEXT, Pair, failing, pair, well
from tests.support.served import served
from tests.support.wire import Answer, connected, request

ILL: Final = failing("503 Service Unavailable")
MANAGER: Final = frozenset({Permission.CHAT, Permission.ADMIN})
OPEN: Final = {"provider": "one", "model": "vendor/model", "state": "open"}


@dataclass(frozen=True, slots=True)
class Instance:
    """A gateway of its own before the providers of a pair; its store of breakers is another's, too."""

    url: str
    pair: Pair
    background: TaskBackground

    async def asked(self) -> tuple[int, int]:
        """Send one request, which is answered; how often that has asked each provider."""
        before = self.pair.asked
        async with openai.AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=self.pair.held.key, max_retries=0
        ) as client:
            assert await replace(self.pair, client=client).text() == TEXT
        await self.background.drain(5)
        after = self.pair.asked
        return after[0] - before[0], after[1] - before[1]

    async def fails(self) -> None:
        """Send one request, which nobody answers."""
        async with openai.AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=self.pair.held.key, max_retries=0
        ) as client:
            with pytest.raises(openai.InternalServerError):
                await replace(self.pair, client=client).text()
        await self.background.drain(5)

    async def ready(self) -> Answer:
        """`GET /health/ready`."""
        async with connected(self.url) as wire:
            key = f"authorization: Bearer {self.pair.held.key}"
            await wire.send(request("GET", "/health/ready", key))
            return await wire.answer()


@asynccontextmanager
async def instance(providers: Pair, store: BreakerStore | None, clock: FakeClock) -> AsyncIterator[Instance]:
    """One more gateway, which knows nothing yet."""
    health, background = Health(), TaskBackground()
    sharing = None if store is None else Sharing(health, store)
    gateway = replace(providers.held.gateway, health=health, sharing=sharing, clock=clock)
    async with served(create_app(gateway, load_functions()), background) as url:
        yield Instance(url, providers, background)


async def open_breaker(instance: Instance, clock: FakeClock) -> None:
    """The first provider of the pair fails until it goes last, and that is published."""
    for _ in range(VOLUME):
        assert await instance.asked() == (1, 1)
    assert await instance.asked() == (0, 1)
    clock.advance(PUBLISH_MS / 1000)
    assert await instance.asked() == (0, 1)


async def test_open_elsewhere() -> None:
    """What one gateway sees open, another asks last, after it has failed there once."""
    clock = FakeClock()
    store = MemoryBreakerStore(clock)
    async with (
        pair(ILL, well, routing="retries = 0") as providers,
        instance(providers, store, clock) as one,
        instance(providers, store, clock) as other,
    ):
        await open_breaker(one, clock)
        assert await other.asked() == (1, 1)  # it has not looked yet
        assert await other.asked() == (0, 1)


async def test_requests_that_fail_are_heard_of() -> None:
    """Where nobody answers, that is published all the same."""
    clock = FakeClock()
    store = MemoryBreakerStore(clock)
    async with pair(ILL, ILL, routing="retries = 0") as providers, instance(providers, store, clock) as one:
        for _ in range(VOLUME):
            await one.fails()
        assert await store.read(["one/vendor/model"]) == {}
        clock.advance(PUBLISH_MS / 1000)
        await one.fails()
        states = await store.read(["one/vendor/model", "two/model"])
        assert [state.partition(" ")[0] for state in states.values()] == ["open", "open"]


async def readiness(one: Script, two: Script, requests: int, *, shared: bool = True) -> Sequence[Answer]:
    """What two gateways say of themselves, once the first has got so many requests."""
    clock = FakeClock()
    store = MemoryBreakerStore(clock) if shared else None
    async with (
        pair(one, two, routing="retries = 0", permissions=MANAGER) as providers,
        instance(providers, store, clock) as first,
        instance(providers, store, clock) as second,
    ):
        for number in range(requests):
            if number == requests - 1:
                clock.advance(PUBLISH_MS / 1000)
            await (first.asked() if two is well else first.fails())
        return [await each.ready() for each in (first, second)]


async def test_told_to_administrators() -> None:
    """Whatever the instance: who fails is told, and it is ready, as others answer."""
    for answer in await readiness(ILL, well, VOLUME + 1):
        assert (answer.status, answer.json["status"]) == (200, "ready")
        assert (answer.json["breakers"], answer.json["degraded"]) == ([OPEN], [])


async def test_told_by_the_doctor(tmp_path: Path) -> None:
    """Asked with an administrator's key, which stands in a variable."""
    clock, file = FakeClock(), tmp_path / "sluice.toml"
    file.write_text("[plans.standard]\n")
    async with (
        pair(ILL, well, routing="retries = 0", permissions=MANAGER) as providers,
        instance(providers, None, clock) as one,
    ):
        await open_breaker(one, clock)
        words = ("doctor", "--config", str(file), "--data", str(tmp_path), "--url", f"{one.url}/v1", "--json")
        found = {}
        for key in (providers.held.key, "sk-wrong"):
            command = [*words, "--key", "env:OPERATOR"]
            result = await asyncio.to_thread(CliRunner().invoke, sluice, command, env={"OPERATOR": key})
            assert result.exit_code == 0
            assert key not in result.output
            *_, found[key] = json.loads(result.stdout)["checks"]
        refused = await asyncio.to_thread(CliRunner().invoke, sluice, [*words, "--key", providers.held.key])
    told, unknown = found.values()
    assert (told["check"], told["state"]) == (f"ready {one.url}/v1", "ok")
    assert (
        told["said"]
        == "It is ready. Breakers that are not closed: one/vendor/model (open). Each model has others."
    )
    assert (unknown["state"], "`admin`" in unknown["advice"]) == ("unknown", True)
    assert (refused.exit_code, providers.held.key in refused.output) == (2, False)


async def test_without_a_store() -> None:
    """Each instance tells what it knows itself."""
    first, second = await readiness(ILL, well, VOLUME + 1, shared=False)
    assert (first.json["breakers"], second.json["breakers"]) == ([OPEN], [])


async def test_nobody_left() -> None:
    """A model none of whose candidates is trusted is degraded; the gateway is ready: another would fare no better."""
    for answer in await readiness(ILL, ILL, VOLUME + 1):
        assert (answer.status, answer.json["status"]) == (200, "ready")
        assert answer.json["degraded"] == ["pair"]
        assert [each["provider"] for each in answer.json["breakers"]] == ["one", "two"]


ROOT: Final = parse_settings(
    """
    [providers.one]
    kind = "openai"
    base_url = "http://one/v1"
    [models.pair]
    targets = ["one/vendor/model"]
    """,
    {},
)


@asynccontextmanager
async def on_aws() -> AsyncIterator[Callable[[], Gateway]]:
    """As its root makes them, on one table."""
    async with open_dynamo(ENDPOINT or moto()) as store:

        def make() -> Gateway:
            opened = gateway_on(
                store.client(),
                store.table,
                ROOT,
                upstream=PooledUpstream(),
                clock=SystemClock(),
                rng=random.Random(1),
                keep_days=None,
            )
            return opened.gateway

        yield make


@asynccontextmanager
async def on_cloudflare() -> AsyncIterator[Callable[[], Gateway]]:
    """As its root makes them, in one namespace."""
    async with open_api() as api, open_stores(api) as (database, namespace):
        yield lambda: wire(ROOT, database, namespace, PooledUpstream()).gateway


@pytest.mark.parametrize("target", [on_aws, on_cloudflare])
async def test_targets_share(
    target: Callable[[], AbstractAsyncContextManager[Callable[[], Gateway]]],
) -> None:
    """What one process of a deployed target sees open, the others are told."""
    async with target() as make:
        one, other = make(), make()
        [candidate] = ROOT.models["pair"].targets
        now_ms = one.clock.now_ms()
        for _ in range(VOLUME):
            one.health.ended(candidate, one.health.started(candidate, now_ms), now_ms, Recourse.ELSEWHERE)
        assert one.sharing is not None
        assert other.sharing is not None
        assert one.sharing.due(now_ms)
        await one.sharing.share(now_ms)
        assert other.health.admits(candidate, now_ms)
        other.health.ended(candidate, other.health.started(candidate, now_ms), now_ms, None)
        await other.sharing.share(now_ms)
        assert not other.health.admits(candidate, now_ms)


class Down(MemoryBreakerStore):
    """It fails."""

    async def read(self, names: Sequence[str]) -> Mapping[str, str]:
        """See `BreakerStore.read`."""
        raise StorageUnavailable("down")


async def test_store_is_down() -> None:
    """What is known here is told all the same, and requests are answered."""
    clock = FakeClock()
    async with (
        pair(ILL, well, routing="retries = 0", permissions=MANAGER) as providers,
        instance(providers, Down(clock), clock) as one,
    ):
        await open_breaker(one, clock)
        assert (await one.ready()).json["breakers"] == [OPEN]


async def test_strangers_are_not_told() -> None:
    """Which providers there are is nobody's business but the operator's."""
    clock = FakeClock()
    async with (
        pair(ILL, well, routing="retries = 0") as providers,
        instance(providers, None, clock) as one,
    ):
        await open_breaker(one, clock)
        assert (await one.ready()).json == {"status": "ready"}
