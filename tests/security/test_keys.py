"""Keys that manage keys: the advisories and OWASP rows (API1, API3, API5, API6) on them, over real sockets."""

import asyncio
import hmac
from collections.abc import Callable
from typing import Any, Final

import pytest

from common.access.api_key import RANDOM_BYTES, hash_key, new_key
from common.access.validity import good_until_ms
from common.model.errors import AuthenticationFailed
from common.model.ids import KeyId, UserId
from common.model.limits import Limit
from common.model.principal import KeyRecord, Permission, UserRecord
from tests.support.callers import KEYS, Caller, caller
from tests.support.scripted import CHAT, REQUEST, scripted

MAKER: Final = ("chat", "keys:write")
PLANS: Final = "[plans.small]\nrequests_per_day = 10\n[plans.large]\nrequests_per_day = 1000\n"
BOUNDS: Final[dict[str, Any]] = {
    "models": ("gpt-*",),
    "origins": (),
    "expires_ms": 2**52,
    "plan": "small",
    "overrides": {Limit.BUDGET_DAY: 5 * 10**9},
}
WITHIN: Final[dict[str, Any]] = {
    "models": ["gpt-4*"],
    "expires_ms": 2**52,
    "plan": "small",
    "limits": {"budget_day": "5"},
    "permissions": ["chat"],
}

MORE: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "admin": ({"permissions": ["admin"]}, "permissions"),
    "all permissions": ({"permissions": [each.value for each in Permission]}, "permissions"),
    "a permission besides": ({"permissions": ["chat", "usage:read"]}, "permissions"),
    "all models": ({"models": None}, "models"),
    "all models by a star": ({"models": ["*"]}, "models"),
    "a model besides": ({"models": ["gpt-4", "o3"]}, "models"),
    "a wider pattern": ({"models": ["gpt*"]}, "models"),
    "no end": ({"expires_ms": None}, "expires_ms"),
    "a later end": ({"expires_ms": 2**52 + 1}, "expires_ms"),
    "no plan": ({"plan": None}, "limits.requests_per_day"),
    "a larger plan": ({"plan": "large"}, "limits.requests_per_day"),
    "a plan that is lifted": (
        {"limits": {"budget_day": "5", "requests_per_day": "unlimited"}},
        "limits.requests_per_day",
    ),
    "no budget": ({"limits": {"budget_day": "unlimited"}}, "limits.budget_day"),
    "a budget as in the plan": ({"limits": {"budget_day": None}}, "limits.budget_day"),
    "a larger budget": ({"limits": {"budget_day": "5.000000001"}}, "limits.budget_day"),
}


@pytest.mark.parametrize("what", MORE)
async def test_no_key_makes_one_that_may_more(what: str) -> None:
    """CVE-2026-47101, CVE-2026-47102, CVE-2026-40217: no field lets a key grant what it lacks, to another or itself."""
    more, param = MORE[what]
    async with scripted(server=PLANS) as gateway:
        maker = await caller(gateway, 1, "ada", *MAKER, **BOUNDS)
        limits = {Limit.BUDGET_DAY: 10**10, Limit.REQUESTS_PER_DAY: 10**6}
        await gateway.held.users.put(UserRecord(UserId("ada"), 1, overrides=limits))
        small = await maker.make(**WITHIN)
        before = await gateway.held.keys.list()
        for method, path, body in (
            ("POST", KEYS, {**WITHIN, **more}),
            ("PATCH", maker.path, more),
            ("PATCH", small.path, more),
        ):
            refused = await maker.ask(method, path, body)
            assert (refused.status, refused.error["code"]) == (403, "exceeds_own_key"), (method, path)
            assert refused.error["param"] == param
        after = {each.id: each.version for each in await gateway.held.keys.list()}
        assert after == {each.id: each.version for each in before}


async def test_fields_that_are_not_there() -> None:
    """CVE-2026-47101, API3: a field that peers heed, or that is only ours to set, is refused, not skipped."""
    async with scripted() as gateway:
        maker = await caller(gateway, 1, "ada", *MAKER)
        for name in (
            *("allowed_routes", "is_admin", "role", "scopes", "metadata", "user_role", "max_budget"),
            *("id", "key", "key_hash", "hash", "previous_hash", "created_ms", "last_used_ms", "version"),
            *("disabled", "grace_until_ms", "overrides"),
        ):
            for method, path in (("POST", KEYS), ("PATCH", maker.path)):
                answer = await maker.ask(method, path, {name: "*"})
                assert (answer.status, answer.error["param"]) == (400, name)


async def test_users_that_are_not_ones_own() -> None:
    """API1: a key makes keys for its own user alone, and no change moves a key to another one."""
    async with scripted() as gateway:
        maker = await caller(gateway, 1, "ada", *MAKER)
        made = await maker.ask("POST", KEYS, {"user": "bob"})
        assert (made.status, made.error["param"]) == (403, "user")
        assert (await maker.ask("PATCH", maker.path, {"user": "bob"})).status == 400
        assert {each.user for each in await gateway.held.keys.list()} == {"ada", "alice"}


MANAGING: Final = [
    ("GET", "", None),
    ("PATCH", "", {"name": "mine"}),
    ("POST", "/rotate", {"grace_ms": 0}),
    ("POST", "/disable", None),
    ("POST", "/enable", None),
    ("DELETE", "", None),
]


async def test_keys_of_others() -> None:
    """GHSA-qqcv-vg9f-5rr3, API1: another user's key is neither shown, changed nor told from one that is not there."""
    async with scripted() as gateway:
        maker = await caller(gateway, 1, "ada", *MAKER)
        other = await caller(gateway, 2, "bob", "chat")
        for method, below, body in MANAGING:
            answer = await maker.ask(method, f"{other.path}{below}", body)
            nowhere = await maker.ask(method, f"{KEYS}/key_none{below}", body)
            assert (answer.status, answer.error["code"]) == (404, "key_not_found")
            assert answer.body.replace(b"key_2", b"key_none") == nowhere.body
        assert (await maker.ask("GET", f"{KEYS}?user=bob")).status == 403
        listed = (await maker.ask("GET", KEYS)).json["data"]
        assert [each["id"] for each in listed] == [maker.id]
        record = await gateway.held.keys.get(other.id)
        assert record is not None
        assert record.version == 1
        assert await other.is_let_in()


async def test_keys_that_may_more() -> None:
    """CVE-2026-47102: a key takes over no stronger key of its user's, by no new secret and by no weakening."""
    async with scripted() as gateway:
        maker = await caller(gateway, 1, "ada", *MAKER)
        strong = await caller(gateway, 2, "ada", "admin", "chat")
        for method, below, body in MANAGING[1:]:
            answer = await maker.ask(method, f"{strong.path}{below}", body)
            assert (answer.status, answer.error["param"]) == (403, "permissions"), (method, below)
        weaker = await maker.ask("PATCH", strong.path, {"permissions": ["chat"]})
        assert weaker.status == 403
        assert await strong.is_let_in()
        record = await gateway.held.keys.get(strong.id)
        assert record is not None
        assert record.version == 1


@pytest.mark.parametrize("limit", [Limit.BUDGET_TOTAL, Limit.REQUESTS_PER_MINUTE])
async def test_many_keys_of_one_maker(limit: Limit) -> None:
    """API6: keys that a limited key makes do not pass together what binds them all; without that, it makes none."""
    async with scripted() as gateway:
        own = 10**9 if limit is Limit.BUDGET_TOTAL else 1
        said: Any = "1" if limit is Limit.BUDGET_TOTAL else 1
        maker = await caller(gateway, 1, "ada", *MAKER, overrides={limit: own})
        body = {"limits": {limit.value: said}, "permissions": ["chat"]}
        refused = await maker.ask("POST", KEYS, body)
        assert (refused.status, refused.error["param"]) == (403, f"limits.{limit}")
        await gateway.held.users.put(UserRecord(UserId("ada"), 1, overrides={limit: 2 * own}))
        gateway.held.gateway.authenticator.forget(maker.id)
        made = [await maker.make(**body) for _ in range(4)]
        if limit is Limit.REQUESTS_PER_MINUTE:
            statuses = [(await each.ask("POST", CHAT, dict(REQUEST))).status for each in made]
            assert statuses == [200, 200, 429, 429]


# -- disclosure --------------------------------------------------------------------------------------------------------


async def test_secrets_are_told_once() -> None:
    """API3, LLM02: a key is in the answer that makes it; neither it nor its hash is in others or in the log."""
    async with scripted() as gateway:
        admin = await caller(gateway, 1, "ada", "admin")
        new = await admin.make(name="one")
        rotated = (await admin.ask("POST", f"{new.path}/rotate")).json["key"]
        answers = [
            await admin.ask("GET", KEYS),
            await admin.ask("GET", new.path),
            await admin.ask("PATCH", new.path, {"name": "two"}),
            await admin.ask("POST", f"{new.path}/disable"),
            await admin.ask("POST", KEYS, {"key": rotated}),
            await admin.ask("GET", f"{KEYS}/{rotated}"),
            await Caller(gateway, rotated, new.id).ask("GET", "/v1/models"),
            await admin.ask("DELETE", new.path),
        ]
        await gateway.lines(len(answers) + 2)
        told = b"".join(answer.body for answer in answers[:4] + answers[6:]).decode()
        for text in (told, "\n".join([*gateway.log.json, *gateway.log.plain])):
            for secret in (admin.key, new.key, rotated):
                assert secret not in text
                assert hash_key(secret).hex() not in text
                assert secret[10:40] not in text


# -- keys that are not good any more -----------------------------------------------------------------------------------

ENDINGS: Final[dict[str, Callable[[Caller, Caller], Any]]] = {
    "deleted": lambda admin, key: admin.ask("DELETE", key.path),
    "disabled": lambda admin, key: admin.ask("POST", f"{key.path}/disable"),
    "rotated": lambda admin, key: admin.ask("POST", f"{key.path}/rotate", {"grace_ms": 0}),
    "deleted by itself": lambda _, key: key.ask("DELETE", key.path),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_keys_that_were_ended(ending: str) -> None:
    """CVE-2026-12796, API2: a key that is known by heart is refused by the next request after its end."""
    async with scripted() as gateway:
        admin = await caller(gateway, 1, "ada", "admin")
        key = await admin.make(user="bob", permissions=["chat", "models", "keys:write"])
        assert all(await asyncio.gather(*(key.is_let_in() for _ in range(5))))
        assert (await ENDINGS[ending](admin, key)).status == 200
        assert not any(await asyncio.gather(*(key.is_let_in() for _ in range(5))))
        assert (await key.ask("POST", CHAT, dict(REQUEST))).status == 401
        assert (await key.ask("GET", KEYS)).status == 401
        assert gateway.provider.exchanges == []


# -- timing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", ["current", "previous", "neither"])
def test_comparison_tells_nothing_by_its_time(monkeypatch: pytest.MonkeyPatch, shown: str) -> None:
    """API2: hashes are compared by `hmac.compare_digest`, both of a record, whichever fits."""
    one, two, three = (new_key(number.to_bytes(RANDOM_BYTES)) for number in range(3))
    record = KeyRecord(
        *(KeyId("key_1"), hash_key(one), UserId("ada"), "", frozenset(), 1),
        previous_hash=hash_key(two),
        grace_until_ms=2,
    )
    compared: list[tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return hmac.compare_digest(left, right)

    monkeypatch.setattr("common.access.validity.compare_digest", compare)
    key_hash = hash_key({"current": one, "previous": two, "neither": three}[shown])
    if shown == "neither":
        with pytest.raises(AuthenticationFailed):
            good_until_ms(record, key_hash, 1)
    else:
        good_until_ms(record, key_hash, 1)
    assert compared == [(hash_key(one), key_hash), (hash_key(two), key_hash)]


async def test_stores_that_find_the_wrong_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2026-35030: a store that finds by less than the whole hash lets nobody in: it is compared again."""
    async with scripted() as gateway:
        one = await caller(gateway, 1, "ada", "models")
        stranger = Caller(gateway, new_key(b"\x07" * RANDOM_BYTES), KeyId("key_none"))

        async def find(_key_hash: bytes) -> KeyRecord | None:
            return await gateway.held.keys.get(one.id)

        monkeypatch.setattr(gateway.held.keys, "find", find)
        assert not await stranger.is_let_in()
        assert await one.is_let_in()
