"""Breakers that instances tell each other."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from common.adapters.memory import MemoryBreakerStore
from common.model.errors import StorageUnavailable
from common.routing.breaker import NEEDED, REST_MS, VOLUME
from common.routing.health import Health
from common.routing.recourse import Recourse
from common.routing.sharing import MOST_NAMES, PUBLISH_MS, READ_MS, Sharing
from tests.support.clock import FakeClock
from tests.unit.routing.test_health import Model

A: Final = Model("a", "vendor/model:free")
B: Final = Model("b")


class Noting(MemoryBreakerStore):
    """A store that counts, and is down when told."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.reads: list[list[str]] = []
        self.writes: list[str] = []
        self.down = False

    async def read(self, names: Sequence[str]) -> Mapping[str, str]:
        """See `BreakerStore.read`."""
        if self.down:
            raise StorageUnavailable("down")
        self.reads.append(list(names))
        return await super().read(names)

    async def publish(self, name: str, state: str) -> None:
        """See `BreakerStore.publish`."""
        if self.down:
            raise StorageUnavailable("down")
        self.writes.append(name)
        await super().publish(name, state)


class Instance:
    """A process, and what its gateway does after each request."""

    def __init__(self, store: Noting, clock: FakeClock) -> None:
        self.health = Health()
        self.clock = clock
        self.sharing = Sharing(self.health, store)

    async def call(self, recourse: Recourse | None = None, target: Model = A) -> None:
        """One attempt, and what follows it in the background."""
        now_ms = self.clock.now_ms()
        self.health.ended(target, self.health.started(target, now_ms), now_ms, recourse)
        if self.sharing.due(now_ms):
            await self.sharing.share(now_ms)

    def prefers(self) -> Model:
        """Who is asked first."""
        return self.health.open_last([A, B], self.clock.now_ms())[0]


class World:
    """Two instances and a store."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Noting(self.clock)
        self.one, self.other = Instance(self.store, self.clock), Instance(self.store, self.clock)


async def test_opened_and_closed_elsewhere() -> None:
    """What one instance has learnt, another knows when it has read again, without a failure of its own."""
    world = World()
    await world.other.call()
    for _ in range(VOLUME + 1):  # the first are forgotten a little
        world.clock.advance(PUBLISH_MS / 1000)
        await world.one.call(Recourse.HERE)
    assert (world.one.prefers(), world.other.prefers()) == (B, A)
    world.clock.advance(READ_MS / 1000)
    await world.other.call(target=B)
    assert world.other.prefers() == A  # for one probe: the other's opening is that long ago
    world.other.health.started(A, world.clock.now_ms())
    assert world.other.prefers() == B
    world.clock.advance(REST_MS / 1000)
    for _ in range(NEEDED):
        await world.one.call()
    world.clock.advance(READ_MS / 1000)
    await world.one.call()
    await world.other.call(target=B)
    assert (world.other.prefers(), dict(world.other.health.troubled(world.clock.now_ms()))) == (A, {})


async def test_few_writes() -> None:
    """A provider that is ill for an hour is written of four times a minute; a healthy one, never."""
    world = World()
    for _ in range(1_000):
        world.clock.advance(0.1)
        await world.one.call(target=B)
    assert world.store.writes == []
    for _ in range(36_000):
        world.clock.advance(0.1)
        if world.one.prefers() == A:
            await world.one.call(Recourse.HERE)
        else:
            await world.one.call(target=B)
    assert set(world.store.writes) == {"a/vendor/model:free"}
    assert 3_600 / 16 < len(world.store.writes) <= 3_600 / 14


async def test_few_reads() -> None:
    """However many requests come, names are read every ten seconds: those that are called."""
    world = World()
    for number in range(600):
        world.clock.advance(0.1)
        await world.one.call(target=Model("b", str(number)))
    assert len(world.store.reads) <= 60_000 / READ_MS + 1
    assert max(map(len, world.store.reads)) == MOST_NAMES


async def test_store_is_down() -> None:
    """Where nothing can be shared, each instance goes by what it sees."""
    world = World()
    world.store.down = True
    for _ in range(VOLUME + 1):  # the first are forgotten a little
        world.clock.advance(PUBLISH_MS / 1000)
        await world.one.call(Recourse.HERE)
    assert world.one.prefers() == B


async def test_what_is_no_state() -> None:
    """What another version may have written is passed over."""
    world = World()
    await world.store.publish("a/vendor/model:free", "ajar for 5 minutes")
    await world.one.call()
    world.clock.advance(READ_MS / 1000)
    await world.one.call()
    assert len(world.store.reads) == 2
    assert world.one.prefers() == A


async def test_those_who_come_together() -> None:
    """Of requests that end at one moment, one shares."""
    world = World()
    await world.one.call()
    world.clock.advance(READ_MS / 1000)
    now_ms = world.clock.now_ms()
    assert world.one.sharing.due(now_ms)
    sharing = world.one.sharing.share(now_ms)
    with suppress(StopIteration):
        sharing.send(None)
    assert not world.one.sharing.due(now_ms)
