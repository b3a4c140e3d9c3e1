"""From an `Authorization` header to a principal: who is refused, what the store is asked, how long an answer holds."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.api_key import RANDOM_BYTES, hash_key, new_key
from common.access.authenticate import CACHE_ENTRIES, CACHE_S, Authenticator, require, require_models
from common.adapters.memory import MemoryKeyStore, MemoryUserStore
from common.model.errors import AuthenticationFailed, ModelNotFound, PermissionDenied, StorageUnavailable
from common.model.ids import KeyId, UserId
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord, Permission, Principal
from tests.support.clock import FakeClock

KEY = new_key(bytes(RANDOM_BYTES))


class CountedKeys(MemoryKeyStore):
    """A store that counts how often it is asked, and can be down."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.down = False

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        """See `KeyStore.find`."""
        self.asked += 1
        if self.down:
            raise StorageUnavailable("down")
        return await super().find(key_hash)


class EveryKey(CountedKeys):
    """A store in which each key is, as its own user's."""

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        """See `KeyStore.find`."""
        self.asked += 1
        name = key_hash.hex()
        return KeyRecord(KeyId(f"key_{name}"), key_hash, UserId(name), "", DEFAULT_PERMISSIONS, 1)


class World:
    """An authenticator, its store and its clock."""

    def __init__(self, keys: CountedKeys | None = None) -> None:
        self.keys = keys or CountedKeys()
        self.clock = FakeClock()
        self.authenticator = Authenticator(self.keys, MemoryUserStore(), {}, self.clock)

    async def create(self, key: str, name: str = "ada", **more: Any) -> None:
        """Store a key of this user."""
        record = KeyRecord(KeyId(f"key_{name}"), hash_key(key), UserId(name), "", DEFAULT_PERMISSIONS, 1)
        await self.keys.create(replace(record, **more))
        self.keys.asked = 0

    async def who(self, key: str) -> str | None:
        """Whose key it is; None where it is refused."""
        try:
            return (await self.authenticator.authenticate(f"Bearer {key}")).user
        except AuthenticationFailed:
            return None


async def test_principal() -> None:
    """A key stands for what its record says."""
    world = World()
    await world.create(KEY)
    principal = await world.authenticator.authenticate(f"Bearer {KEY}")
    assert (principal.key_id, principal.user, principal.permissions) == (
        "key_ada",
        "ada",
        DEFAULT_PERMISSIONS,
    )


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "bEaReR  "])
@pytest.mark.parametrize("end", ["", " ", "\t"])
async def test_scheme(scheme: str, end: str) -> None:
    """The scheme may be in any case, and spaces around the key are no part of it."""
    world = World()
    await world.create(KEY)
    assert (await world.authenticator.authenticate(f"{scheme}{KEY}{end}")).user == "ada"


# -- who is refused, without the store being asked


@pytest.mark.parametrize(
    "header",
    [
        *(
            None,
            "",
            " ",
            "Bearer",
            "Bearer ",
            "Bearer\t" + KEY,
            KEY,
            "Basic " + KEY,
            "Token " + KEY,
            "Bearer:" + KEY,
        ),
        *("Bearer sk-proj-0123456789", "Bearer " + KEY[:-1], "Bearer " + KEY + "0", "Bearer " + KEY.lower()),
        *(
            f"Bearer {KEY} {KEY}",
            f"Bearer {KEY},{KEY}",
            f"Bearer '{KEY}'",
            f"Bearer Bearer {KEY}",
            f"X Bearer {KEY}",
        ),
        *(
            "Bearer ' OR '1'='1",
            f"Bearer {KEY}'; DROP TABLE keys; --",
            "Bearer %00",
            "Bearer \x00",
            f"Bearer {KEY}\x00",
        ),
        *(
            'Bearer {"$ne": null}',
            "Bearer *",
            "Bearer ${jndi:ldap://x}",
            "Bearer ../../etc/passwd",
            f"Bearer \n{KEY}\n0",
        ),
        *(
            "Bearer \xff\xfe",
            "Bearer é😀",
            "Bearer sk-sluice-" + "\u0660" * 49,
            "Bearer " + "x" * 10**6,
            "Bearer " * 10**5,
        ),
    ],
    ids=lambda header: repr(header)[:40],
)
async def test_refused_without_asking(header: str | None) -> None:
    """What cannot be a key of this gateway is refused by itself; the store never sees it."""
    world = World()
    await world.create(KEY)
    with pytest.raises(AuthenticationFailed) as refused:
        await world.authenticator.authenticate(header)
    assert refused.value.code == "invalid_api_key"
    assert world.keys.asked == 0
    assert KEY not in refused.value.message


@given(st.text(st.characters(max_codepoint=0xFF)))
async def test_any_header(header: str) -> None:
    """Whatever a header holds, it is refused as any other wrong one."""
    world = World()
    for each in (header, f"Bearer {header}", f"Bearer sk-sluice-{header}"):
        with pytest.raises(AuthenticationFailed):
            await world.authenticator.authenticate(each)
    assert world.keys.asked == 0


async def test_same_prefix_other_tail() -> None:
    """Keys that begin alike are different keys, also once one of them is known by heart."""
    world = World()
    one, other = new_key(bytes(32)), new_key(bytes(31) + b"\x01")
    assert one[:50] == other[:50]
    await world.create(one)
    assert await world.who(one) == "ada"
    assert await world.who(other) is None
    assert await world.who(one[:53] + other[53:]) is None
    await world.create(other, "bob")
    assert [await world.who(one), await world.who(other)] == ["ada", "bob"]


# -- how long an answer holds


async def test_known_for_a_minute() -> None:
    """A key that was found is not asked for again for 60 seconds, and then it is."""
    world = World()
    await world.create(KEY)
    for passed, asked in ((0, 1), (0, 1), (59.999, 1), (0.001, 2), (59.999, 2), (0.001, 3)):
        world.clock.advance(passed)
        assert await world.who(KEY) == "ada"
        assert world.keys.asked == asked
    assert CACHE_S == 60


async def test_deleted() -> None:
    """A deleted key is served for 60 seconds at most since it was last looked up, and forgotten then."""
    world = World()
    await world.create(KEY)
    assert await world.who(KEY) == "ada"
    world.clock.advance(30)
    assert await world.who(KEY) == "ada"  # does not begin the minute anew
    await world.keys.delete(KeyId("key_ada"))
    world.clock.advance(29.9)
    assert await world.who(KEY) == "ada"
    world.clock.advance(0.1)
    assert await world.who(KEY) is None
    assert not world.authenticator._cache


async def test_unknown_is_not_remembered() -> None:
    """A key that nobody knows is looked up each time, so a new one works at once."""
    world = World()
    assert [await world.who(KEY), await world.who(KEY)] == [None, None]
    assert world.keys.asked == 2
    await world.create(KEY)
    assert await world.who(KEY) == "ada"


async def test_storage_down() -> None:
    """While the storage is down, a known key is served until its minute is over; an unknown one is not called wrong."""
    world = World()
    await world.create(KEY)
    assert await world.who(KEY) == "ada"
    world.keys.down = True
    world.clock.advance(59)
    assert await world.who(KEY) == "ada"
    world.clock.advance(1)
    with pytest.raises(StorageUnavailable):
        await world.who(KEY)
    world.keys.down = False
    assert await world.who(KEY) == "ada"


async def test_bounded() -> None:
    """However many keys are used, only so many are remembered: those that were looked up last."""
    world = World(EveryKey())
    keys = [new_key(number.to_bytes(RANDOM_BYTES)) for number in range(CACHE_ENTRIES + 10)]
    for key in keys:
        assert await world.who(key) == hash_key(key).hex()
    assert len(world.authenticator._cache) == CACHE_ENTRIES
    asked = world.keys.asked
    assert await world.who(keys[10]) == hash_key(keys[10]).hex()
    assert world.keys.asked == asked
    assert await world.who(keys[9]) == hash_key(keys[9]).hex()
    assert world.keys.asked == asked + 1


# -- what a record says of its key


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        ({"disabled": True}, "api_key_disabled"),
        ({"expires_ms": 1_790_000_000_000}, "api_key_expired"),
        ({"key_hash": bytes(32), "previous_hash": hash_key(KEY), "grace_until_ms": 5}, "api_key_rotated"),
    ],
)
async def test_not_good(bounds: dict[str, Any], code: str) -> None:
    """A key that is there and not good is refused with the reason, each time anew, and nothing of it is remembered."""
    world = World()
    await world.create(KEY, **bounds)
    for asked in (1, 2):
        with pytest.raises(AuthenticationFailed) as refused:
            await world.authenticator.authenticate(f"Bearer {KEY}")
        assert refused.value.code == code
        assert world.keys.asked == asked
    assert not world.authenticator._cache


@pytest.mark.parametrize(
    "hashes", [(hash_key(KEY), None), (bytes(32), hash_key(KEY))], ids=["expiry", "grace"]
)
async def test_never_beyond_its_end(hashes: tuple[bytes, bytes | None]) -> None:
    """A key that ends within the minute is remembered until then, not longer."""
    world = World()
    end_ms = world.clock.now_ms() + 10_000
    ends: dict[str, Any] = {"expires_ms": end_ms} if hashes[1] is None else {"grace_until_ms": end_ms}
    await world.create(KEY, key_hash=hashes[0], previous_hash=hashes[1], **ends)
    assert await world.who(KEY) == "ada"
    world.clock.advance(9.999)
    assert await world.who(KEY) == "ada"
    assert world.keys.asked == 1
    world.clock.advance(0.001)
    assert await world.who(KEY) is None
    assert world.keys.asked == 2


async def test_both_secrets_within_grace() -> None:
    """After a rotation both secrets stand for the key; the old one until its grace ends."""
    world = World()
    new = new_key(b"\x01" * RANDOM_BYTES)
    until_ms = world.clock.now_ms() + 100_000
    await world.create(KEY, key_hash=hash_key(new), previous_hash=hash_key(KEY), grace_until_ms=until_ms)
    assert [await world.who(KEY), await world.who(new)] == ["ada", "ada"]
    world.clock.advance(100)
    assert [await world.who(KEY), await world.who(new)] == [None, "ada"]


ORIGINS = ("https://app.example", "http://localhost:3000")


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        pytest.param((), None, True, id="none is set, none is sent"),
        pytest.param((), "https://evil.example", True, id="none is set"),
        pytest.param(ORIGINS, "https://app.example", True, id="the first"),
        pytest.param(ORIGINS, "http://localhost:3000", True, id="the second"),
        pytest.param(ORIGINS, None, False, id="none is sent"),
        pytest.param(ORIGINS, "", False, id="empty"),
        pytest.param(ORIGINS, "null", False, id="null"),
        pytest.param(ORIGINS, "http://app.example", False, id="another scheme"),
        pytest.param(ORIGINS, "https://app.example:8443", False, id="another port"),
        pytest.param(ORIGINS, "https://app.example.evil.example", False, id="a longer host"),
        pytest.param(ORIGINS, "https://APP.example", False, id="another case"),
        pytest.param(ORIGINS, "https://app.example, http://localhost:3000", False, id="two"),
    ],
)
async def test_origins(origins: tuple[str, ...], origin: str | None, allowed: bool) -> None:  # noqa: FBT001 - a column
    """A key that is for some origins is for nothing else, also once it is known by heart."""
    world = World()
    await world.create(KEY, origins=origins)
    for _ in range(2):
        if allowed:
            assert (await world.authenticator.authenticate(f"Bearer {KEY}", origin)).user == "ada"
            continue
        with pytest.raises(PermissionDenied) as denied:
            await world.authenticator.authenticate(f"Bearer {KEY}", origin)
        assert denied.value.code == "origin_not_allowed"
    assert world.keys.asked == 1


async def test_models() -> None:
    """The principal knows which models its key is for, and those that a provider may fall back to are held to it."""
    world = World()
    await world.create(KEY, models=("gpt-*", "demo"))
    principal = await world.authenticator.authenticate(f"Bearer {KEY}")
    assert principal.may_use("gpt-4o")
    for fine in (None, "o3", [], ["gpt-4o", "demo"]):
        require_models(principal, fine)
    for models in (["o3"], ["gpt-4o", "o3"], [["gpt-4o"]], [None]):
        with pytest.raises(ModelNotFound) as refused:
            require_models(principal, models)
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


# -- changes on this instance


async def test_forget() -> None:
    """Where a key is changed, it is forgotten at once, with both of its secrets; others are not."""
    world = World()
    new, other = new_key(b"\x01" * RANDOM_BYTES), new_key(b"\x02" * RANDOM_BYTES)
    rotated: dict[str, Any] = {"key_hash": hash_key(new), "previous_hash": hash_key(KEY)}
    await world.create(KEY, **rotated, grace_until_ms=world.clock.now_ms() + 10**6)
    await world.create(other, "bob")
    for key in (KEY, new, other):
        assert await world.who(key) is not None
    await world.keys.delete(KeyId("key_ada"))
    world.authenticator.forget(KeyId("key_ada"))
    assert [await world.who(key) for key in (KEY, new, other)] == [None, None, "bob"]


class SlowKeys(CountedKeys):
    """A store whose answer can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        """See `KeyStore.find`."""
        found = await super().find(key_hash)
        await self.go_on.wait()
        return found


async def test_forget_during_a_look_up() -> None:
    """What was read before a key changed is not remembered after it."""
    world = World(keys := SlowKeys())
    await world.create(KEY)
    looking_up = asyncio.ensure_future(world.who(KEY))
    await asyncio.sleep(0)
    await keys.delete(KeyId("key_ada"))
    world.authenticator.forget(KeyId("key_ada"))
    keys.go_on.set()
    assert await looking_up == "ada"
    assert await world.who(KEY) is None


# -- the last use


class Noted:
    """A `Background` that does the work when it is told."""

    def __init__(self) -> None:
        self.work: list[Coroutine[Any, Any, None]] = []

    def run(self, work: Coroutine[Any, Any, None], *, hurry: Callable[[], None] | None = None) -> None:
        """See `Background.run`."""
        self.work.append(work)

    async def done(self) -> int:
        """Do it; how much there was."""
        work, self.work = self.work, []
        for each in work:
            await each
        return len(work)


async def test_uses_are_noted_now_and_then() -> None:
    """A use costs no write but one in an hour, and that one is not waited for."""
    world, background = World(), Noted()
    await world.create(KEY)
    writes, noted = [], set()
    for _ in range(2 * 60 * 4):
        await world.authenticator.authenticate(f"Bearer {KEY}", background=background)
        writes.append(await background.done())
        noted.add((await world.keys.list())[0].last_used_ms)
        world.clock.advance(15)
    assert (writes[0], sum(writes)) == (1, 2)
    assert noted == {1_790_000_000_000, 1_790_000_000_000 + 3_600_000}


async def test_refused_uses_are_not_noted() -> None:
    """What is refused is no use."""
    world, background = World(), Noted()
    await world.create(KEY, disabled=True)
    with pytest.raises(AuthenticationFailed):
        await world.authenticator.authenticate(f"Bearer {KEY}", background=background)
    assert background.work == []


# -- permissions


@pytest.mark.parametrize("permission", list(Permission))
def test_require(permission: Permission) -> None:
    """A permission that the key lacks is refused by its name, and none but `admin` stands in for it."""
    others = frozenset(Permission) - {permission, Permission.ADMIN} | {
        permission.upper(),
        f"{permission}.all",
    }
    with pytest.raises(PermissionDenied) as denied:
        require(Principal(KeyId("key_x"), UserId("ada"), others), permission)
    assert denied.value.code == "insufficient_permissions"
    assert f"`{permission}`" in denied.value.message
    for enough in (permission, "admin"):
        require(Principal(KeyId("key_x"), UserId("ada"), frozenset({enough})), permission)
