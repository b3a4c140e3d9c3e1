"""`/v1/keys` over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from common.access.api_key import hash_key, is_well_formed
from common.adapters.clock import SystemClock
from common.model.ids import UserId
from common.model.limits import Limit
from common.model.principal import KeyRecord, Permission, UserRecord
from tests.support.callers import KEYS, Caller, caller
from tests.support.scripted import CHAT, REQUEST, ScriptedGateway, scripted

ALL: Final = tuple(Permission)
USUAL: Final = ["chat", "models", "usage:read"]
PLANS: Final = "[plans.small]\nrequests_per_day = 10\n[plans.large]\nrequests_per_day = 1000\n"
LATER: Final = 2**52
PLAIN: Final[dict[str, Any]] = {
    "object": "key",
    "user": "alice",
    "name": "",
    "permissions": USUAL,
    "plan": None,
    "limits": {},
    "models": None,
    "origins": None,
    "disabled": False,
    "expires_ms": None,
    "last_used_ms": None,
    "grace_until_ms": None,
}


@asynccontextmanager
async def managed(*permissions: str, **what: Any) -> AsyncIterator[tuple[Caller, ScriptedGateway]]:
    """A gateway with plans, and a key of Alice's that has all permissions, or these."""
    async with scripted(server=PLANS) as gateway:
        yield await caller(gateway, 1, "alice", *(permissions or ALL), **what), gateway


# -- making ------------------------------------------------------------------------------------------------------------


async def test_create() -> None:
    """A new key is told once, works at once, and is stored as its hash."""
    async with managed() as (admin, gateway):
        before = SystemClock().now_ms()
        answer = await admin.ask("POST", KEYS, {})
        told = answer.json
        key, created_ms = told.pop("key"), told.pop("created_ms")
        assert answer.status == 201
        assert is_well_formed(key)
        assert told == {**PLAIN, "id": told["id"]}
        assert before <= created_ms <= SystemClock().now_ms()
        new = Caller(gateway, key, told["id"])
        assert (await new.ask("GET", "/v1/models")).status == 200
        record = await gateway.held.keys.find(hash_key(key))
        assert record is not None
        assert record.id == told["id"]
        shown = await admin.ask("GET", new.path)
        assert key not in shown.body.decode()


FULL: Final[dict[str, Any]] = {
    "user": "bob",
    "name": "phone Ærø",
    "permissions": ["chat", "keys:write"],
    "plan": "small",
    "limits": {"budget_day": "2.50", "budget_total": "unlimited", "max_parallel": 3},
    "models": ["gpt-*", "demo"],
    "origins": ["https://app.example"],
    "expires_ms": LATER,
}


async def test_create_with_everything() -> None:
    """What is asked for is what the key has, in the answer, later, and in the store."""
    async with managed() as (admin, gateway):
        made = (await admin.ask("POST", KEYS, FULL)).json
        assert {name: made[name] for name in FULL} == FULL
        shown = (await admin.ask("GET", f"{KEYS}/{made['id']}")).json
        assert shown == {name: value for name, value in made.items() if name != "key"}
        record = await gateway.held.keys.get(made["id"])
        assert isinstance(record, KeyRecord)
        assert record.overrides == {
            Limit.BUDGET_DAY: 2_500_000_000,
            Limit.BUDGET_TOTAL: None,
            Limit.MAX_PARALLEL: 3,
        }
        assert (record.user, record.models, record.expires_ms) == ("bob", ("gpt-*", "demo"), LATER)


async def test_create_without_saying_what_it_may() -> None:
    """A key that is made by another one has of the usual permissions those that its maker has."""
    async with managed(Permission.CHAT, Permission.KEYS_WRITE) as (maker, _):
        assert (await maker.ask("POST", KEYS, {})).json["permissions"] == ["chat"]


NAMELESS: Final = {"x" * 200: 1}
WRONG: Final = [
    ({"model": ["gpt-*"]}, "model", "unknown_parameter"),
    ({"limits": {"budget": "5"}}, "limits.budget", "unknown_parameter"),
    (NAMELESS, "x" * 64, "unknown_parameter"),
    ({"a\r\nb\x1b[31m": 1}, "a\ufffd\ufffdb\ufffd[31m", "unknown_parameter"),
    ({"key": "sk-sluice-mine"}, "key", "unknown_parameter"),
    ({"user": ""}, "user", "invalid_value"),
    ({"user": " "}, "user", "invalid_value"),
    ({"user": "u" * 129}, "user", "invalid_value"),
    ({"user": "a\nb"}, "user", "invalid_value"),
    ({"user": 7}, "user", "invalid_value"),
    ({"name": None}, "name", "invalid_value"),
    ({"name": "n" * 129}, "name", "invalid_value"),
    ({"name": "\x1b[31m"}, "name", "invalid_value"),
    ({"permissions": "chat"}, "permissions", "invalid_value"),
    ({"permissions": []}, "permissions", "invalid_value"),
    ({"permissions": ["chat", "fly"]}, "permissions[1]", "invalid_value"),
    ({"permissions": ["chat"] * 1000}, "permissions", "invalid_value"),
    ({"plan": "gold"}, "plan", "unknown_plan"),
    ({"plan": 1}, "plan", "invalid_value"),
    ({"limits": []}, "limits", "invalid_value"),
    ({"limits": {"max_parallel": -1}}, "limits.max_parallel", "invalid_value"),
    ({"limits": {"max_parallel": 1.5}}, "limits.max_parallel", "invalid_value"),
    ({"limits": {"max_parallel": True}}, "limits.max_parallel", "invalid_value"),
    ({"limits": {"max_parallel": "3"}}, "limits.max_parallel", "invalid_value"),
    ({"limits": {"max_parallel": 10**13}}, "limits.max_parallel", "invalid_value"),
    ({"limits": {"budget_day": 5}}, "limits.budget_day", "invalid_value"),
    ({"limits": {"budget_day": "-5"}}, "limits.budget_day", "invalid_value"),
    ({"limits": {"budget_day": "9000001"}}, "limits.budget_day", "invalid_value"),
    ({"limits": {"budget_day": "1e3"}}, "limits.budget_day", "invalid_value"),
    ({"models": []}, "models", "invalid_value"),
    ({"models": "gpt-*"}, "models", "invalid_value"),
    ({"models": [""]}, "models[0]", "invalid_value"),
    ({"models": ["a", "b\x00"]}, "models[1]", "invalid_value"),
    ({"models": ["m" * 257]}, "models[0]", "invalid_value"),
    ({"models": ["m"] * 101}, "models", "invalid_value"),
    ({"origins": []}, "origins", "invalid_value"),
    ({"origins": ["*"]}, "origins[0]", "invalid_value"),
    ({"origins": ["https://app.example/"]}, "origins[0]", "invalid_value"),
    ({"origins": ["https://app.example", 5]}, "origins[1]", "invalid_value"),
    ({"expires_ms": 1}, "expires_ms", "invalid_value"),
    ({"expires_ms": "2030-01-01"}, "expires_ms", "invalid_value"),
    ({"expires_ms": 2**53}, "expires_ms", "invalid_value"),
    ({"expires_ms": 1e300}, "expires_ms", "invalid_value"),
]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(("body", "param", "code"), WRONG, ids=lambda value: str(value)[:40])
async def test_wrong_bodies(method: str, body: dict[str, Any], param: str, code: str) -> None:
    """What is wrong is a 400 that names the field, and nothing is made or changed."""
    async with managed() as (admin, gateway):
        before = await gateway.held.keys.list()
        answer = await admin.ask(method, KEYS if method == "POST" else admin.path, body)
        if "user" in body and method == "PATCH":
            code = "unknown_parameter"
        assert (answer.status, answer.error["param"], answer.error["code"]) == (400, param, code)
        assert "Value error" not in answer.error["message"]
        assert [each.version for each in await gateway.held.keys.list()] == [each.version for each in before]


async def test_bodies_that_are_none() -> None:
    """A body has to be there, JSON, said to be so, and not too long."""
    async with scripted(server="max_body_bytes = 1024\n") as gateway:
        admin = await caller(gateway, 1, "alice", *ALL)
        for body, status in ((b"", 400), (b"[]", 400), (b"{", 400), (b'{"name": "' + b"n" * 2000, 413)):
            assert (await admin.ask("POST", KEYS, body)).status == status
        form = await admin.ask("POST", KEYS, b"name=x", "content-type: application/x-www-form-urlencoded")
        assert form.status == 415
        assert len(await gateway.held.keys.list()) == 2


# -- showing -----------------------------------------------------------------------------------------------------------


async def test_list() -> None:
    """A key sees its own user's keys, oldest first; `admin` sees all, or one user's."""
    async with managed() as (admin, gateway):
        ours = await caller(gateway, 2, "bob", "keys:write")
        other = await caller(gateway, 3, "bob", "chat")

        async def ids(asking: Caller, query: str = "") -> list[str]:
            answer = await asking.ask("GET", f"{KEYS}{query}")
            assert (answer.status, answer.json["object"]) == (200, "list")
            return [each["id"] for each in answer.json["data"]]

        assert await ids(ours) == await ids(ours, "?user=bob") == [ours.id, other.id]
        assert await ids(admin, "?user=bob") == [ours.id, other.id]
        assert await ids(admin, "?user=nobody") == []
        assert await ids(admin) == [admin.id, ours.id, other.id, "key_test"]


async def test_use_is_shown() -> None:
    """When a key was used is there once the answer is out; a key that nobody used was used never."""
    async with managed() as (admin, gateway):
        new = await admin.make()
        assert (await admin.ask("GET", new.path)).json["last_used_ms"] is None
        before = SystemClock().now_ms()
        await new.ask("GET", "/v1/models")
        await gateway.background.drain(5)
        used_ms = (await admin.ask("GET", new.path)).json["last_used_ms"]
        assert before <= used_ms <= SystemClock().now_ms()


# -- changing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({}, {}),
        ({"name": ""}, {"name": ""}),
        ({"permissions": ["models"]}, {"permissions": ["models"]}),
        ({"plan": "large"}, {"plan": "large"}),
        ({"plan": None}, {"plan": None}),
        ({"models": ["*"]}, {"models": ["*"]}),
        ({"models": None}, {"models": None}),
        ({"origins": None}, {"origins": None}),
        ({"expires_ms": None}, {"expires_ms": None}),
        ({"limits": {"max_parallel": None}}, {"limits": {"budget_day": "2.50", "budget_total": "unlimited"}}),
        (
            {"limits": {"budget_day": "unlimited", "requests_per_day": 0}},
            {"limits": {**FULL["limits"], "budget_day": "unlimited", "requests_per_day": 0}},
        ),
    ],
    ids=str,
)
async def test_update(body: dict[str, Any], changed: dict[str, Any]) -> None:
    """What is named changes, null takes it away, all else stays."""
    async with managed() as (admin, _):
        made = (await admin.ask("POST", KEYS, FULL)).json
        del made["key"]
        answer = await admin.ask("PATCH", f"{KEYS}/{made['id']}", body)
        assert (answer.status, answer.json) == (200, {**made, **changed})
        assert (await admin.ask("GET", f"{KEYS}/{made['id']}")).json == {**made, **changed}


async def test_update_takes_effect_at_once() -> None:
    """On the instance that changes a key, the next request goes by the change."""
    async with managed() as (admin, _):
        new = await admin.make()
        assert (await new.ask("POST", CHAT, dict(REQUEST))).status == 200
        await admin.ask("PATCH", new.path, {"models": ["other"]})
        assert (await new.ask("POST", CHAT, dict(REQUEST))).error["code"] == "model_not_found"
        await admin.ask("PATCH", new.path, {"models": None, "permissions": ["models"]})
        assert (await new.ask("POST", CHAT, dict(REQUEST))).error["code"] == "insufficient_permissions"


async def test_updates_at_once() -> None:
    """Of many changes at the same time, of different fields, none is lost."""
    async with managed() as (admin, _):
        new = await admin.make()
        changes = [{"name": "x"}, {"plan": "small"}, {"models": ["a"]}, {"limits": {"max_parallel": 1}}]
        answers = await asyncio.gather(*(admin.ask("PATCH", new.path, change) for change in changes))
        assert [answer.status for answer in answers] == [200] * 4
        shown = (await admin.ask("GET", new.path)).json
        assert (shown["name"], shown["plan"], shown["models"]) == ("x", "small", ["a"])
        assert shown["limits"] == {"max_parallel": 1}


async def test_update_that_always_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others are faster each time, the client is told to try again."""
    async with managed() as (admin, gateway):

        async def update(record: KeyRecord) -> bool:
            return False

        monkeypatch.setattr(gateway.held.keys, "update", update)
        answer = await admin.ask("PATCH", admin.path, {"name": "x"})
        assert (answer.status, answer.header("retry-after")) == (503, "2")


# -- rotating, disabling, deleting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, {}, {"grace_ms": 60_000}], ids=str)
async def test_rotate(body: dict[str, int] | None) -> None:
    """A rotated key has a new secret and keeps its id and all it may; the old one is good for a day, or as said."""
    async with managed() as (admin, gateway):
        old = await admin.make(name="laptop", models=["hello"])
        before = (await admin.ask("GET", old.path)).json
        answer = await admin.ask("POST", f"{old.path}/rotate", body)
        told = answer.json
        new = Caller(gateway, told.pop("key"), old.id)
        grace_ms = (body or {}).get("grace_ms", 24 * 3_600_000)
        assert answer.status == 200
        assert abs(told["grace_until_ms"] - SystemClock().now_ms() - grace_ms) < 10_000
        assert {**told, "grace_until_ms": None} == before
        assert new.key != old.key
        assert [await each.is_let_in() for each in (old, new)] == [True, True]


async def test_rotate_without_grace() -> None:
    """With a grace of 0 the old secret is good for nothing, at once."""
    async with managed() as (admin, gateway):
        old = await admin.make()
        assert await old.is_let_in()
        told = (await admin.ask("POST", f"{old.path}/rotate", {"grace_ms": 0})).json
        assert not await old.is_let_in()
        assert await Caller(gateway, told["key"], old.id).is_let_in()
        assert told["grace_until_ms"] is None


async def test_rotate_twice() -> None:
    """Only the newest of the secrets before is good."""
    async with managed() as (admin, gateway):
        first = await admin.make()
        keys = [first]
        for _ in range(2):
            told = (await admin.ask("POST", f"{first.path}/rotate")).json
            keys.append(Caller(gateway, told["key"], first.id))
            assert await keys[-2].is_let_in()
        assert [await each.is_let_in() for each in keys] == [False, True, True]


@pytest.mark.parametrize("grace_ms", [-1, 31 * 24 * 3_600_000, "24h", 0.5, None])
async def test_wrong_grace(grace_ms: object) -> None:
    """A grace is a number of milliseconds, up to thirty days; else the key stays what it is."""
    async with managed() as (admin, _):
        old = await admin.make()
        answer = await admin.ask("POST", f"{old.path}/rotate", {"grace_ms": grace_ms})
        assert (answer.status, answer.error["param"]) == (400, "grace_ms")
        assert (await admin.ask("GET", old.path)).json["grace_until_ms"] is None


async def test_a_key_rotates_itself() -> None:
    """Who has a key with `keys:write` can replace it by itself, whatever limits it has."""
    async with managed("keys:write", overrides={Limit.MAX_PARALLEL: 2}) as (own, gateway):
        told = (await own.ask("POST", f"{own.path}/rotate", {"grace_ms": 0})).json
        assert not await own.is_let_in()
        assert await Caller(gateway, told["key"], own.id).is_let_in()


async def test_disable_and_enable() -> None:
    """A disabled key is refused at once, with the reason, until it is enabled."""
    async with managed() as (admin, _):
        new = await admin.make()
        assert await new.is_let_in()
        assert (await admin.ask("POST", f"{new.path}/disable")).json["disabled"] is True
        refused = await new.ask("GET", "/v1/models")
        assert (refused.status, refused.error["code"]) == (401, "api_key_disabled")
        assert (await admin.ask("POST", f"{new.path}/enable")).json["disabled"] is False
        assert await new.is_let_in()


async def test_delete() -> None:
    """A deleted key is refused at once, and is nowhere any more."""
    async with managed() as (admin, _):
        new = await admin.make()
        assert await new.is_let_in()
        answer = await admin.ask("DELETE", new.path)
        assert (answer.status, answer.json) == (200, {"object": "key", "id": new.id, "deleted": True})
        assert not await new.is_let_in()
        for method, path in (("GET", new.path), ("DELETE", new.path), ("POST", f"{new.path}/rotate")):
            missing = await admin.ask(method, path)
            assert (missing.status, missing.error["code"]) == (404, "key_not_found")


# -- what a key is for -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_models_of_a_key(*, streamed: bool) -> None:
    """A model that a key is not for is to it as one that there is not: 404, the same words, and nothing is sent."""
    async with managed() as (admin, gateway):
        new = await admin.make(models=["hel?o", "x-*"])
        asked = {**REQUEST, "stream": streamed}
        assert (await new.ask("POST", CHAT, {**asked, "stream": False})).status == 200
        sent = len(gateway.provider.exchanges)
        there = await new.ask("POST", CHAT, {**asked, "model": "twice"})
        nowhere = await new.ask("POST", CHAT, {**asked, "model": "x-none"})
        assert len(gateway.provider.exchanges) == sent
        assert (there.status, there.error["code"], there.error["param"]) == (404, "model_not_found", "model")
        assert there.body.replace(b"twice", b"x-none") == nowhere.body


async def test_origins_of_a_key() -> None:
    """A key for some web pages is refused without an origin, and from others: 403."""
    async with managed() as (admin, _):
        new = await admin.make(origins=["https://app.example"])
        for lines, status in (
            (["origin: https://app.example"], 200),
            (["origin: https://evil.example"], 403),
            (["origin: null"], 403),
            (["referer: https://app.example/"], 403),
            ([], 403),
        ):
            answer = await new.ask("POST", CHAT, dict(REQUEST), *lines)
            assert answer.status == status
            if status == 403:
                assert answer.error["code"] == "origin_not_allowed"


async def test_end_of_a_key() -> None:
    """A key that has ended is a 401 that says so."""
    async with managed() as (_, gateway):
        ended = await caller(gateway, 7, "alice", *USUAL, expires_ms=1)
        answer = await ended.ask("GET", "/v1/models")
        assert (answer.status, answer.error["code"]) == (401, "api_key_expired")


# -- manners -----------------------------------------------------------------------------------------------------------


async def test_permission() -> None:
    """Every one of the routes is for `keys:write` or `admin`."""
    async with scripted() as gateway:
        plain = await caller(gateway, 1, "alice", *USUAL)
        for method, path in (
            *(("GET", KEYS), ("POST", KEYS), ("GET", plain.path), ("PATCH", plain.path)),
            *(("DELETE", plain.path), ("POST", f"{plain.path}/rotate")),
            *(("POST", f"{plain.path}/disable"), ("POST", f"{plain.path}/enable")),
        ):
            answer = await plain.ask(method, path, {} if method != "GET" else None)
            assert (answer.status, answer.error["code"]) == (403, "insufficient_permissions"), (method, path)
        for number, permission in enumerate((Permission.KEYS_WRITE, Permission.ADMIN), 2):
            assert (await (await caller(gateway, number, "bob", permission)).ask("GET", KEYS)).status == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (KEYS, "GET, HEAD, OPTIONS, POST"),
        (f"{KEYS}/key_1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        (f"{KEYS}/key_1/rotate", "OPTIONS, POST"),
        (f"{KEYS}/key_1/disable", "OPTIONS, POST"),
    ],
)
async def test_methods(path: str, allowed: str) -> None:
    """Other methods are a 405 that tells which there are; OPTIONS tells the same; HEAD is GET without a body."""
    async with managed() as (admin, _):
        for method in ("PUT", "PATCH", "DELETE", "POST", "GET"):
            if method not in allowed:
                answer = await admin.ask(method, path)
                assert (answer.status, answer.header("allow")) == (405, allowed)
        assert (await admin.ask("OPTIONS", path)).header("allow") == allowed
        if "HEAD" in allowed:
            head = await admin.ask("HEAD", path)
            assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize("path", ["/v1/keys/me", "/v1/keys/me/rotate"])
async def test_me_is_no_id(path: str) -> None:
    """What a key is to itself is not found by the paths of ids."""
    async with scripted(functions=["keys"]) as gateway:
        admin = await caller(gateway, 1, "alice", *ALL)
        for method in ("PATCH", "DELETE", "POST"):
            assert (await admin.ask(method, path, {})).status in {404, 405}


async def test_private() -> None:
    """No answer about keys is for a cache."""
    async with managed() as (admin, _):
        answer = await admin.ask("POST", KEYS, {})
        assert answer.header("cache-control") == "private, no-store"


async def test_limits_of_a_new_key_hold() -> None:
    """What a key is made with binds it: its second request of the minute is refused."""
    async with managed() as (admin, gateway):
        new = await admin.make(limits={"requests_per_minute": 1})
        assert [(await new.ask("POST", CHAT, dict(REQUEST))).status for _ in range(2)] == [200, 429]
        await gateway.held.users.put(UserRecord(UserId("carol"), 1, overrides={Limit.REQUESTS_PER_MINUTE: 1}))
        hers = await admin.make(user="carol", limits={"requests_per_minute": "unlimited"})
        assert [(await hers.ask("POST", CHAT, dict(REQUEST))).status for _ in range(2)] == [200, 429]


async def test_answers_are_json() -> None:
    """What is told of keys is JSON in UTF-8, names as they were given."""
    async with managed() as (admin, _):
        answer = await admin.ask("POST", KEYS, {"name": "Ærø 🚪 <b>"})
        assert json.loads(answer.body.decode())["name"] == "Ærø 🚪 <b>"
        assert answer.header("content-type") == "application/json"
