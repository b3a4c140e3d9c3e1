"""`GET /health/ready` over real sockets: whether the gateway can do its part, and who is told why not."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from common.http.readiness import WITHIN_S
from common.model.errors import StorageUnavailable
from tests.support.callers import caller
from tests.support.gateway import UNKNOWN_KEY
from tests.support.scripted import ScriptedGateway, scripted

READY: Final = "/health/ready"
Find = Callable[[object], Awaitable[None]]


async def fails(_what: object) -> None:
    """A database without room."""
    raise StorageUnavailable("The disk is full.")


async def hangs(_what: object) -> None:
    """A database that is not there any more."""
    await asyncio.Event().wait()


def break_storage(monkeypatch: pytest.MonkeyPatch, gateway: ScriptedGateway, how: Find) -> None:
    """From now on, no key is found, by id or by hash."""
    for name in ("get", "find"):
        monkeypatch.setattr(gateway.held.keys, name, how)


@pytest.mark.parametrize("authorization", ["", "Bearer nonsense", f"Bearer {UNKNOWN_KEY}", "usual"])
async def test_strangers_are_told_whether(authorization: str) -> None:
    """Without a key, with a wrong one and with a usual one, the verdict is all there is; it is not to be cached."""
    async with scripted() as gateway:
        usual = await caller(gateway, 1, "alice", "chat", "models", "usage:read", "keys:write")
        given = f"Bearer {usual.key}" if authorization == "usual" else authorization
        answer = await gateway.send("GET", READY, *([f"authorization: {given}"] if given else []))
    assert (answer.status, answer.json) == (200, {"status": "ready"})
    assert "no-store" in (answer.header("cache-control") or "")


async def test_administrators_are_told_what() -> None:
    """A key with `admin` sees each check and how long it took."""
    async with scripted() as gateway:
        admin = await caller(gateway, 1, "operator", "admin")
        answer = (await admin.ask("GET", READY)).json
    assert answer["status"] == "ready"
    assert [(check["name"], check["ok"]) for check in answer["checks"]] == [
        ("storage", True),
        ("providers", True),
    ]
    assert all(0 <= check["ms"] < WITHIN_S * 1000 for check in answer["checks"])
    assert not any("problem" in check for check in answer["checks"])


async def test_storage_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """503: strangers are not told why, an administrator who is still known is, and so is the log."""
    async with scripted() as gateway:
        admin = await caller(gateway, 1, "operator", "admin")
        await admin.ask("GET", READY)  # known from now on, for a minute
        break_storage(monkeypatch, gateway, fails)
        plain = await gateway.send("GET", READY)
        told = await admin.ask("GET", READY)
        lines = await gateway.lines(5)
    assert (plain.status, plain.json) == (503, {"status": "not ready"})
    assert told.status == 503
    storage, providers = told.json["checks"]
    assert (storage["ok"], storage["problem"], providers["ok"]) == (False, "The disk is full.", True)
    assert "not ready: storage: The disk is full." in [line.get("message") for line in lines]


async def test_administrators_who_cannot_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """While no key can be looked up, its holder is a stranger."""
    async with scripted() as gateway:
        admin = await caller(gateway, 1, "operator", "admin")
        break_storage(monkeypatch, gateway, fails)
        told = await admin.ask("GET", READY)
    assert (told.status, told.json) == (503, {"status": "not ready"})


async def test_storage_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer comes within two seconds, however long the storage and the look-up of the key would take."""
    async with scripted() as gateway:
        admin = await caller(gateway, 1, "operator", "admin")
        break_storage(monkeypatch, gateway, hangs)
        began = time.monotonic()
        told = await admin.ask("GET", READY)
        took_s = time.monotonic() - began
        (line, *_) = await gateway.lines(1)
    assert told.status == 503
    assert WITHIN_S <= took_s < WITHIN_S + 1
    assert line["message"] == "not ready: storage: It does not answer within 2 s."


async def test_nobody_to_ask() -> None:
    """A gateway without a model can answer nothing: an empty configuration is told before the first request is."""
    async with scripted() as gateway:
        admin = await caller(gateway, 1, "operator", "admin")
        gateway.held.gateway.settings.models.clear()  # type: ignore[attr-defined] # a dictionary
        told = await admin.ask("GET", READY)
    assert (told.status, told.json["checks"][1]["problem"]) == (503, "No model is configured.")


async def test_health_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/health` is well while the storage hangs: what it tells is that the process lives."""
    async with scripted() as gateway:
        break_storage(monkeypatch, gateway, hangs)
        answer = await gateway.send("GET", "/health", gateway.bearer)
    assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_providers_are_not_asked() -> None:
    """A probe every second is no load on a provider."""
    async with scripted() as gateway:
        await gateway.send("GET", READY, gateway.bearer)
        assert gateway.provider.exchanges == []
