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
    assert await stores.keys.get(key(2).id) is None


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
        pytest.param(replace(key(1), models=("gpt-*", "a/b", '"\\ é')), id="models, in their order"),
        pytest.param(replace(key(1), origins=("https://b.example", "https://a.example:8443")), id="origins"),
        pytest.param(replace(key(1), expires_ms=0), id="expired"),
        pytest.param(replace(key(1), expires_ms=2**53 - 1, disabled=True), id="disabled"),
        pytest.param(replace(key(1), previous_hash=bytes(32), grace_until_ms=1), id="rotated"),
        pytest.param(replace(key(1), last_used_ms=1_790_000_000_001, version=7), id="used, and changed"),
    ],
)
async def test_found_as_stored(stores: Stores, record: KeyRecord) -> None:
    """A key is found by its hash, every field as it was stored; unlimited is not the same as not said."""
    await stores.keys.create(record)
    found = await stores.keys.find(record.key_hash)
    assert found == record
    assert [type(each) for each in found.overrides] == [Limit] * len(record.overrides)
    assert await stores.keys.get(record.id) == record
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


# -- changes -----------------------------------------------------------------------------------------------------------

CHANGED = replace(
    key(1, user="ada", name="renamed", permissions=frozenset({"chat"})),
    plan="basic",
    overrides={Limit.MAX_PARALLEL: None},
    models=("small",),
    origins=("https://app.example",),
    expires_ms=5,
    disabled=True,
)


async def test_update(stores: Stores) -> None:
    """A change takes the place of the whole record, at the next version; what it drops is gone; others stay."""
    other = key(2)
    for record in (key(1), other):
        await stores.keys.create(record)
    assert await stores.keys.update(CHANGED) is True
    assert await stores.keys.find(CHANGED.key_hash) == replace(CHANGED, version=2)
    assert await stores.keys.update(replace(key(1), version=2)) is True
    assert list(await stores.keys.list()) == [replace(key(1), version=3), other]


@pytest.mark.parametrize("version", [0, 1, 3])
async def test_update_of_another_version(stores: Stores, version: int) -> None:
    """Who goes by a record that has changed since changes nothing."""
    await stores.keys.create(key(1))
    assert await stores.keys.update(replace(key(1), name="first")) is True
    assert await stores.keys.update(replace(CHANGED, version=version)) is False
    assert await stores.keys.get(CHANGED.id) == replace(key(1), name="first", version=2)


async def test_update_of_nothing(stores: Stores) -> None:
    """A key that is gone is not brought back by a change."""
    await stores.keys.create(key(1))
    await stores.keys.delete(key(1).id)
    assert await stores.keys.update(CHANGED) is False
    assert list(await stores.keys.list()) == []


async def test_updates_at_once(stores: Stores) -> None:
    """Of many that change one version of a key, one wins, and the record is whole."""
    await stores.keys.create(key(1))
    rivals = [replace(CHANGED, name=f"rival {number}", expires_ms=number) for number in range(20)]
    won = await asyncio.gather(*(stores.keys.update(rival) for rival in rivals))
    assert sorted(won) == [False] * 19 + [True]
    assert await stores.keys.get(key(1).id) == replace(rivals[won.index(True)], version=2)


def hashed(secret: str) -> bytes:
    """What `secret` is found by."""
    return hashlib.sha256(secret.encode()).digest()


async def test_rotation(stores: Stores) -> None:
    """A key is found by its hash and by the one before, not by the one before that; and so after its deletion."""
    await stores.keys.create(key(1, secret="one"))
    await stores.keys.create(key(2))
    second = replace(key(1, secret="two"), previous_hash=hashed("one"), grace_until_ms=9)
    assert await stores.keys.update(second) is True
    stored = replace(second, version=2)
    assert [await stores.keys.find(hashed(each)) for each in ("one", "two")] == [stored, stored]
    third = replace(key(1, secret="three"), previous_hash=hashed("two"), grace_until_ms=10, version=2)
    assert await stores.keys.update(third) is True
    stored = replace(third, version=3)
    found = [await stores.keys.find(hashed(each)) for each in ("one", "two", "three")]
    assert found == [None, stored, stored]
    fourth = replace(key(1, secret="four"), version=3)
    assert await stores.keys.update(fourth) is True
    found = [await stores.keys.find(hashed(each)) for each in ("two", "three", "four")]
    assert found == [None, None, replace(fourth, version=4)]
    await stores.keys.delete(fourth.id)
    assert await stores.keys.find(hashed("four")) is None


async def test_deleted_within_grace(stores: Stores) -> None:
    """A deleted key is found by neither of its hashes."""
    await stores.keys.create(key(1, secret="one"))
    await stores.keys.update(replace(key(1, secret="two"), previous_hash=hashed("one"), grace_until_ms=9))
    await stores.keys.delete(key(1).id)
    assert [await stores.keys.find(hashed(each)) for each in ("one", "two")] == [None, None]


async def test_use(stores: Stores) -> None:
    """The latest use is noted, whichever comes last; that makes no new version, and no change takes it back."""
    await stores.keys.create(key(1))
    await stores.keys.create(key(2))
    for at_ms in (5, 9, 7):
        await stores.keys.note_use(key(1).id, at_ms)
    assert await stores.keys.get(key(1).id) == replace(key(1), last_used_ms=9)
    assert await stores.keys.update(key(1, name="changed")) is True
    assert await stores.keys.get(key(1).id) == replace(key(1, name="changed"), last_used_ms=9, version=2)
    assert await stores.keys.get(key(2).id) == key(2)


async def test_use_of_nothing(stores: Stores) -> None:
    """A use of a key that is gone meanwhile is no failure, and makes no key."""
    await stores.keys.note_use(key(1).id, 5)
    assert list(await stores.keys.list()) == []
