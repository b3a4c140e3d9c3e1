"""Keys and dead letters in KV, against a namespace in memory that fails as told."""

import asyncio
from collections.abc import Sequence
from dataclasses import fields, replace

import pytest

from common.adapters.cloudflare.kv import KEY_S, KvDeadLetters, KvKeyStore, key_from_json, key_to_json
from common.adapters.cloudflare.namespace import NamespaceFailed
from common.adapters.memory import MemoryKeyStore
from common.model.errors import StorageUnavailable
from common.model.ids import KeyId, UserId
from common.model.limits import Limit
from common.model.principal import KeyRecord
from common.model.usage import UsageRecord
from tests.support.clock import FakeClock
from tests.support.records import usage_record

KEY = KeyRecord(
    id=KeyId("key_1"),
    key_hash=bytes(range(32)),
    user=UserId("ada"),
    name='a "laptop"',
    permissions=frozenset({"chat", "of-tomorrow"}),
    created_ms=1,
    plan="standard",
    overrides={Limit.BUDGET_DAY: 5, Limit.MAX_PARALLEL: None},
    models=("gpt-*", "b"),
    origins=("https://a.example",),
    expires_ms=2,
    disabled=True,
    previous_hash=bytes(32),
    grace_until_ms=3,
    last_used_ms=4,
    version=5,
)


class MemoryNamespace:
    """A `Namespace` that fails as told."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.fails = False

    async def get(self, name: str) -> str | None:
        """None where there is none."""
        self._fail()
        return self.values.get(name)

    async def put(self, name: str, value: str, *, expires_s: int | None = None) -> None:
        """Store it."""
        self._fail()
        self.values[name] = value

    async def delete(self, name: str) -> None:
        """Remove it."""
        self._fail()
        self.values.pop(name, None)

    async def names(self, prefix: str, most: int) -> Sequence[str]:
        """In their order."""
        return [name for name in sorted(self.values) if name.startswith(prefix)][:most]

    def _fail(self) -> None:
        if self.fails:
            raise NamespaceFailed("KV is down")


class World:
    """A store behind KV, and a clock."""

    def __init__(self) -> None:
        self.stored, self.namespace, self.clock = MemoryKeyStore(), MemoryNamespace(), FakeClock()
        self.keys = KvKeyStore(self.stored, self.namespace, self.clock)

    async def find(self, record: KeyRecord = KEY) -> KeyRecord | None:
        """By its hash, with what is begun by that done."""
        found = await self.keys.find(record.key_hash)
        await asyncio.sleep(0)
        return found


def test_every_field_survives() -> None:
    """A copy is the whole record."""
    assert all(getattr(KEY, field.name) != field.default for field in fields(KEY))
    assert key_from_json(key_to_json(KEY, 7)) == (7, KEY)
    plain = KeyRecord(KEY.id, KEY.key_hash, KEY.user, "", frozenset(), 1)
    assert key_from_json(key_to_json(plain, 7)) == (7, plain)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "[1, {}]", "[1, 2]", key_to_json(KEY, 7).replace('"plan"', '"plot"')]
)
def test_what_is_no_copy(text: str) -> None:
    """Anything else is told, another version's key too."""
    with pytest.raises(ValueError):
        key_from_json(text)


async def test_copy_is_found_until_it_is_old() -> None:
    """A key that was found is not asked for again while its copy is young, whatever becomes of it."""
    world = World()
    await world.stored.create(KEY)
    assert await world.find() == KEY
    await world.stored.delete(KEY.id)
    assert await world.find() == KEY
    world.clock.advance(KEY_S)
    assert await world.find() is None


async def test_unknown_is_not_kept() -> None:
    """A key that is made later is found at once."""
    world = World()
    assert await world.find() is None
    await world.keys.create(KEY)
    assert await world.find() == KEY


async def test_changes_are_written_through() -> None:
    """A key that is changed or deleted by way of this store is found so at once, by both of its hashes."""
    world = World()
    await world.keys.create(KEY)
    assert KEY.previous_hash is not None
    before = replace(KEY, key_hash=KEY.previous_hash)
    assert (await world.find(), await world.find(before)) == (KEY, KEY)
    assert await world.keys.update(replace(KEY, disabled=False))
    for record in (KEY, before):
        found = await world.find(record)
        assert found is not None
        assert not found.disabled
    assert not await world.keys.update(KEY)
    assert await world.keys.delete(KEY.id)
    assert (await world.find(), await world.find(before)) == (None, None)


async def test_rotated_twice() -> None:
    """A hash that a key had two rotations ago is good for nothing at once, though KV had a copy under it."""
    world = World()
    await world.keys.create(KEY)
    assert KEY.previous_hash is not None
    before = replace(KEY, key_hash=KEY.previous_hash)
    assert await world.find(before) == KEY
    assert await world.keys.update(replace(KEY, key_hash=bytes(range(1, 33)), previous_hash=KEY.key_hash))
    assert await world.find(before) is None


async def test_without_kv() -> None:
    """Where KV fails, or holds something else, the store behind it answers."""
    world = World()
    world.namespace.fails = True
    await world.keys.create(KEY)
    assert await world.find() == KEY
    assert await world.keys.update(replace(KEY, name="other"))
    world.namespace.fails = False
    world.namespace.values[f"key:{KEY.key_hash.hex()}"] = "what is this?"
    found = await world.find()
    assert found is not None
    assert found.name == "other"


async def test_letters() -> None:
    """Each letter is delivered once, when the meter takes it, and kept until then."""
    namespace = MemoryNamespace()
    letters = KvDeadLetters(namespace)
    records = [usage_record(number) for number in range(1, 4)]
    for record in records:
        await letters.put(record)
    taken: list[UsageRecord] = []

    async def settle(record: UsageRecord) -> None:
        if record == records[1] and not taken[1:]:
            raise StorageUnavailable("down")
        taken.append(record)

    assert await letters.deliver(settle) == (2, 1)
    assert await letters.deliver(settle) == (1, 0)
    assert await letters.deliver(settle) == (0, 0)
    assert sorted(record.request_id for record in taken) == [record.request_id for record in records]


async def test_letters_wait_while_the_storage_is_down() -> None:
    """After a few that are not taken, the rest is not tried."""
    namespace = MemoryNamespace()
    letters = KvDeadLetters(namespace)
    for number in range(1, 10):
        await letters.put(usage_record(number))
    tried = 0

    async def settle(_record: UsageRecord) -> None:
        nonlocal tried
        tried += 1
        raise StorageUnavailable("down")

    assert await letters.deliver(settle) == (0, 9)
    assert tried == 3


async def test_letter_that_cannot_be_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Where KV fails too, the log has the record."""
    namespace = MemoryNamespace()
    namespace.fails = True
    record = usage_record(1)
    await KvDeadLetters(namespace).put(record)
    assert record.request_id in caplog.text
