"""What each function says that it needs is what its requests use: grants and bindings are made of nothing else."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from common.access.authenticate import Authenticator
from common.adapters.background import TaskBackground
from common.adapters.memory import MemoryBreakerStore
from common.gateway.context import Gone, RequestContext
from common.gateway.gateway import Route
from common.http.app import create_app
from common.model.errors import UpstreamUnreachable
from common.model.principal import DEFAULT_PERMISSIONS, Permission
from common.ports import (
    Background,
    BreakerStore,
    Clock,
    DeadLetters,
    KeyStore,
    Meter,
    Upstream,
    UpstreamRequest,
    UsageStore,
    UserStore,
)
from common.routing.sharing import Sharing
from common.targets.registry import FUNCTIONS, function_of
from tests.support.gateway import MemoryGateway, memory_gateway

SETTINGS = """
[providers.one]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
[models.m]
targets = ["one/m"]
"""
CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
REQUESTS: Mapping[str, list[tuple[str, str, Any]]] = {
    "chat_completions": [("POST", "/v1/chat/completions", CHAT)],
    "health": [("GET", "/health", None), ("GET", "/health/ready", None)],
    "keys": [
        ("GET", "/v1/keys", None),
        ("POST", "/v1/keys", {"name": "x"}),
        ("GET", "/v1/keys/key_test", None),
        ("PATCH", "/v1/keys/key_test", {"name": "y"}),
        ("POST", "/v1/keys/key_test/rotate", {}),
        ("DELETE", "/v1/keys/key_test", None),
    ],
    "models": [("GET", "/v1/models", None), ("GET", "/v1/models/m", None)],
    "usage": [
        ("GET", "/v1/usage?start_time=1", None),
        ("GET", "/v1/usage/req_0000000000000001", None),
        ("GET", "/v1/keys/me", None),
    ],
}


class Watched:
    """Stands before a port, and notes that it was used."""

    def __init__(self, port: Any, kind: type, used: set[type]) -> None:
        self._port, self._kind, self._used = port, kind, used

    def __getattr__(self, name: str) -> Any:
        """Whatever is used of it."""
        self._used.add(self._kind)
        return getattr(self._port, name)


class Nobody:
    """An upstream that cannot be reached."""

    def send(self, _request: UpstreamRequest) -> Any:
        """See `Upstream.send`."""
        raise UpstreamUnreachable("Nobody is there.")


def watched(held: MemoryGateway, used: set[type]) -> MemoryGateway:
    """The same gateway, whose ports tell of it."""

    def watch(port: Any, kind: type) -> Any:
        return Watched(port, kind, used)

    gateway, clock = held.gateway, watch(held.gateway.clock, Clock)
    breakers = watch(MemoryBreakerStore(held.gateway.clock), BreakerStore)
    gateway = replace(
        gateway,
        clock=clock,
        authenticator=Authenticator(watch(held.keys, KeyStore), watch(held.users, UserStore), {}, clock),
        meter=watch(held.meter, Meter),
        usage=watch(held.rows, UsageStore),
        dead_letters=watch(held.dead_letters, DeadLetters),
        routes={
            name: Route(each.provider, watch(Nobody(), Upstream)) for name, each in gateway.routes.items()
        },
        sharing=Sharing(gateway.health, breakers),
    )
    return replace(held, gateway=gateway)


async def ask(world: MemoryGateway, name: str, method: str, target: str, body: Any) -> set[type]:
    """One request to a function alone; what it used in the end."""
    used: set[type] = set()
    app = create_app(watched(world, used).gateway, [function_of(name)])
    background = TaskBackground()
    path, _, query = target.partition("?")
    text = b"" if body is None else json.dumps(body).encode()
    headers = [
        (b"authorization", f"Bearer {world.key}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(text)),
    ]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": headers,
        "sluice": RequestContext(Watched(background, Background, used), Gone()),
    }
    status: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": text, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    await app(scope, receive, send)
    await background.drain(5)
    assert status[0] in {200, 201, 404, 502}, (method, target, status)
    return used


def test_every_function_is_asked() -> None:
    """Also one that comes tomorrow."""
    assert set(REQUESTS) == set(FUNCTIONS)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
async def test_needs(name: str) -> None:
    """Nothing that it does not say, and nothing for nothing. Dead letters are for what fails."""
    used: set[type] = set()
    permissions = DEFAULT_PERMISSIONS | {Permission.ADMIN}
    for method, target, body in REQUESTS[name]:
        world = await memory_gateway(SETTINGS, Nobody(), permissions=permissions)
        used |= await ask(world, name, method, target, body)
    assert used | {DeadLetters} == set(function_of(name).needs) | {DeadLetters}
