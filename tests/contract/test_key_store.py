"""The contract of `KeyStore`."""

import asyncio
import hashlib
from dataclasses import replace

import pytest

from common.model.ids import KeyId, UserId
from common.model.limits import MAX_NANOUSD, Limit
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord
from tests.contract.adapters import Stores


def key(
    number: int,
    *,
    secret: str = "",
    user: str = "ada",
    name: str = "laptop",
    permissions: frozenset[str] = DEFAULT_PERMISSIONS,
    created_ms: int = 1_790_000_000_000,
) -> KeyRecord:
    """A key that differs from others by its number; `secret` is what its hash is made of."""
    key_hash = hashlib.sha256((secret or str(number)).encode()).digest()
    return KeyRecord(KeyId(f"key_{number:012}"), key_hash, UserId(user), name, permissions, created_ms)


async def test_unknown(stores: Stores) -> None:
    """A hash that nobody stored finds nothing."""
    await stores.keys.create(key(1))
    assert await stores.keys.find(key(2).key_hash) is None


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(key(1), id="plain"),
        pytest.param(key(1, permissions=frozenset()), id="without permissions"),
        pytest.param(key(1, permissions=frozenset({"of-tomorrow", "chat"})), id="unknown permission"),
        pytest.param(key(1, user="o'hara; --", name='a "b" \\ \n'), id="quotes"),
        pytest.param(key(1, user="Ærø 🚪", name=""), id="not ASCII, empty name"),
        pytest.param(key(1, created_ms=2**53 - 1), id="largest integer"),
        pytest.param(replace(key(1), plan='a "plan"'), id="plan"),
        pytest.param(replace(key(1), plan="basic", overrides={Limit.BUDGET_DAY: 1}), id="plan and own limit"),
        pytest.param(replace(key(1), overrides=dict.fromkeys(Limit)), id="unlimited in everything"),
        pytest.param(replace(key(1), overrides=dict.fromkeys(Limit, MAX_NANOUSD)), id="largest limits"),
        pytest.param(replace(key(1), overrides=dict.fromkeys(Limit, 0)), id="nothing allowed"),
    ],
)
async def test_found_as_stored(stores: Stores, record: KeyRecord) -> None:
    """A key is found by its hash, every field as it was stored; unlimited is not the same as not said."""
    await stores.keys.create(record)
    found = await stores.keys.find(record.key_hash)
    assert found == record
    assert [type(each) for each in found.overrides] == [Limit] * len(record.overrides)
    assert list(await stores.keys.list()) == [record]


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(key(1, secret="other", user="eve"), id="same id"),
        pytest.param(key(2, secret="1", user="eve"), id="same hash"),
        pytest.param(key(1), id="same key"),
    ],
)
async def test_conflict(stores: Stores, second: KeyRecord) -> None:
    """A second key with the id or the hash of another is refused, and nothing of it is stored."""
    first = key(1)
    await stores.keys.create(first)
    with pytest.raises(ValueError, match=second.id):
        await stores.keys.create(second)
    assert list(await stores.keys.list()) == [first]
    assert await stores.keys.find(first.key_hash) == first


async def test_race(stores: Stores) -> None:
    """Of many that create one key at once, one succeeds."""
    attempts = (stores.keys.create(key(number, secret="same")) for number in range(20))
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", *["ValueError"] * 19]
    assert len(await stores.keys.list()) == 1


async def test_list(stores: Stores) -> None:
    """Keys come oldest first, those of one moment by id; all of them, or one user's."""
    late, early = key(1, created_ms=2), key(2, created_ms=1)
    twin, other = key(3, created_ms=1), key(4, created_ms=3, user="bob")
    for record in (late, twin, other, early):
        await stores.keys.create(record)
    assert list(await stores.keys.list()) == [early, twin, late, other]
    assert list(await stores.keys.list(UserId("ada"))) == [early, twin, late]
    assert list(await stores.keys.list(UserId("nobody"))) == []


async def test_delete(stores: Stores) -> None:
    """A deleted key is gone at once, others stay, and deleting it again says that there was none."""
    gone, stays = key(1), key(2)
    await stores.keys.create(gone)
    await stores.keys.create(stays)
    assert await stores.keys.delete(gone.id) is True
    assert await stores.keys.find(gone.key_hash) is None
    assert list(await stores.keys.list()) == [stays]
    assert await stores.keys.delete(gone.id) is False


async def test_id_is_free_again(stores: Stores) -> None:
    """What a deleted key occupied can be used anew."""
    await stores.keys.create(key(1))
    await stores.keys.delete(key(1).id)
    await stores.keys.create(key(1, name="second"))
    assert [record.name for record in await stores.keys.list()] == ["second"]
