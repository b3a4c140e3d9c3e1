"""Changes of keys where others change them too, or the storage fails."""

from dataclasses import replace

import pytest

from common.access.authenticate import Authenticator
from common.access.managed_keys import TRIES, ManagedKeys, change_key
from common.adapters.memory import MemoryKeyStore, MemoryUserStore
from common.model.errors import NotFound, PermissionDenied, StorageUnavailable
from common.model.ids import KeyId, UserId
from common.model.principal import KeyRecord, Principal
from tests.support.clock import FakeClock

KEY = KeyRecord(KeyId("key_1"), bytes(32), UserId("ada"), "laptop", frozenset({"chat"}), 1)
ADMIN = Principal(KeyId("key_admin"), UserId("root"), frozenset({"admin"}))


class Contended(MemoryKeyStore):
    """A store in which somebody else is faster, some times; each time that one gives the key a longer name."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times
        self.tries = 0

    async def update(self, record: KeyRecord) -> bool:
        """See `KeyStore.update`."""
        self.tries += 1
        if self.left:
            self.left -= 1
            stored = await self.get(record.id)
            assert stored is not None
            await super().update(replace(stored, name=f"{stored.name}!"))
        return await super().update(record)


def disable(record: KeyRecord) -> KeyRecord:
    """A change."""
    return replace(record, disabled=True)


@pytest.mark.parametrize("times", [0, 1, TRIES - 1])
async def test_change_is_made_again(times: int) -> None:
    """A change is made of what the key has become meanwhile, so no change is lost."""
    keys = Contended(times)
    await keys.create(KEY)
    changed = await change_key(keys, KEY.id, disable)
    assert changed == replace(KEY, name="laptop" + "!" * times, disabled=True, version=times + 2)
    assert changed == await keys.get(KEY.id)
    assert keys.tries == times + 1


async def test_change_that_always_loses() -> None:
    """Whoever is always slower gives up, and has changed nothing."""
    keys = Contended(TRIES)
    await keys.create(KEY)
    with pytest.raises(StorageUnavailable, match="try again"):
        await change_key(keys, KEY.id, disable)
    stored = await keys.get(KEY.id)
    assert stored is not None
    assert not stored.disabled
    assert keys.tries == TRIES


async def test_change_of_nothing() -> None:
    """A key that is not there is not changed."""
    assert await change_key(MemoryKeyStore(), KEY.id, disable) is None


class Failing(MemoryKeyStore):
    """A store that does as it is told, and then fails to say so."""

    async def update(self, record: KeyRecord) -> bool:
        """See `KeyStore.update`."""
        await super().update(record)
        raise StorageUnavailable("gone")

    async def delete(self, key_id: KeyId) -> bool:
        """See `KeyStore.delete`."""
        await super().delete(key_id)
        raise StorageUnavailable("gone")


class Forgetting(Authenticator):
    """An authenticator that tells what it was to forget."""

    def __init__(self, keys: MemoryKeyStore) -> None:
        super().__init__(keys, MemoryUserStore(), {}, FakeClock())
        self.forgotten: list[KeyId] = []

    def forget(self, key_id: KeyId) -> None:
        """See `Authenticator.forget`."""
        self.forgotten.append(key_id)


async def test_forgotten_whatever_comes_of_it() -> None:
    """A key is forgotten also where the storage fails: the change may have been made all the same."""
    keys = Failing()
    await keys.create(KEY)
    authenticator = Forgetting(keys)
    managed = ManagedKeys(ADMIN, authenticator)
    with pytest.raises(StorageUnavailable):
        await managed.change(KEY.id, disable)
    with pytest.raises(StorageUnavailable):
        await managed.delete(KEY.id)
    assert authenticator.forgotten == [KEY.id, KEY.id]


async def test_key_that_grows_while_it_is_changed() -> None:
    """What a maker may is looked at again in each try: a key that has become stronger meanwhile is not touched."""

    class Growing(MemoryKeyStore):
        async def update(self, record: KeyRecord) -> bool:
            stored = await self.get(record.id)
            assert stored is not None
            await super().update(replace(stored, permissions=frozenset({"admin"})))
            return await super().update(record)

    keys = Growing()
    await keys.create(KEY)
    maker = Principal(KeyId("key_2"), KEY.user, frozenset({"chat", "keys:write"}))
    with pytest.raises(PermissionDenied):
        await ManagedKeys(maker, Forgetting(keys)).change(KEY.id, disable)
    stored = await keys.get(KEY.id)
    assert stored is not None
    assert not stored.disabled


async def test_keys_of_others_are_not_there() -> None:
    """Nobody learns of another user's key, not even by trying to change it."""
    keys = MemoryKeyStore()
    await keys.create(KEY)
    managed = ManagedKeys(Principal(KeyId("k"), UserId("bob"), frozenset({"keys:write"})), Forgetting(keys))
    with pytest.raises(NotFound):
        await managed.get(KEY.id)
    with pytest.raises(NotFound):
        await managed.change(KEY.id, disable)
    with pytest.raises(NotFound):
        await managed.delete(KEY.id)
    assert await keys.get(KEY.id) == KEY
