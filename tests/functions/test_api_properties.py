"""The OpenAPI document against the gateway: schemathesis makes requests of it, right ones and wrong ones.

Whatever is asked, the answer has a status that the document names for it, the content that it names, and no 5xx.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from threading import Thread
from typing import Any, Final, TypeAlias

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from common.http.openapi import describe
from common.model.ids import KeyId
from common.model.principal import Permission
from tests.support import answers
from tests.support.callers import caller
from tests.support.gateway import load_functions
from tests.support.origin import Exchange
from tests.support.records import usage_record
from tests.support.scripted import CHAT, ScriptedGateway, answering, scripted, streaming

EXAMPLES: Final = 40
VICTIM: Final = KeyId("key_90")  # what requests about keys are sent to
Case: TypeAlias = schemathesis.Case[Any]
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
KNOWN: Final = {"key_id": VICTIM, "model": "hello", "request_id": usage_record(1).request_id}


def document() -> dict[str, Any]:
    """As it is served."""
    functions = load_functions()
    return describe([route for function in functions for route in function.router.routes], functions)


def strictly(found: dict[str, Any]) -> dict[str, Any]:
    """A status that it does not name for a path is wrong there, whatever `default` says."""
    for operations in found["paths"].values():
        for operation in operations.values():
            del operation["responses"]["default"]
            operation.pop("security", None)  # the keys are ours
            # the document describes a stream as a whole, schemathesis looks at each event
            operation["responses"].get("200", {}).get("content", {}).get("text/event-stream", {}).pop(
                "schema", None
            )
    return found


SECURITY: Final = {
    f"{method.upper()} {path}": operation.get("security")
    for path, operations in document()["paths"].items()
    for method, operation in operations.items()
}
OPERATIONS: Final = {
    found.ok().label: found.ok()
    for found in schemathesis.openapi.from_dict(strictly(document())).get_all_operations()
    if isinstance(found, Ok)
}
assert OPERATIONS.keys() == SECURITY.keys()  # none is broken


async def provider(exchange: Exchange) -> None:
    """Answer as asked."""
    is_stream = b'"stream": true' in exchange.asked.body or b'"stream":true' in exchange.asked.body
    await (streaming(answers.stream("a")) if is_stream else answering(answers.completion()))(exchange)


@dataclass(frozen=True, slots=True)
class World:
    """A gateway that serves in a thread of its own, for requests that wait."""

    gateway: ScriptedGateway
    session: requests.Session
    loop: asyncio.AbstractEventLoop
    keys: dict[str, str]
    numbers: Iterator[int] = field(default_factory=lambda: count(100))

    def prepare(self) -> None:
        """Whatever was done to it, the victim is there."""
        asyncio.run_coroutine_threadsafe(self._prepare(), self.loop).result(10)

    async def _prepare(self) -> None:
        await self.gateway.held.keys.delete(VICTIM)
        await caller(self.gateway, 90, "alice", "chat")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The gateway, with a key that may do all, and one that may do nothing."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    ready: list[World] = []

    async def serve() -> None:
        async with scripted(provider) as gateway:
            every = await caller(gateway, 1, "alice", *(each.value for each in Permission))
            none = await caller(gateway, 2, "bob")
            held = gateway.held
            held.rows.records[usage_record(1).request_id] = usage_record(1)
            ready.append(World(gateway, requests.Session(), loop, {"all": every.key, "none": none.key}))
            await stop.wait()

    thread = Thread(target=loop.run_forever)
    thread.start()
    serving = asyncio.run_coroutine_threadsafe(serve(), loop)
    while not ready and not serving.done():
        thread.join(0.01)
    try:
        if serving.done():
            serving.result()
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        serving.result(30)
        ready[0].session.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def cases(label: str) -> st.SearchStrategy[Case]:
    """Requests of an operation: as it is described, or not; about things that there are, or not."""
    operation = OPERATIONS[label]
    known = {name: KNOWN[name] for name in KNOWN if f"{{{name}}}" in operation.path}
    modes = [GenerationMode.POSITIVE]
    if operation.body or operation.query or known:
        modes.append(GenerationMode.NEGATIVE)
    found = [operation.as_strategy(generation_mode=mode) for mode in modes]
    if known:
        found += [
            operation.as_strategy(generation_mode=mode, path_parameters=known)
            for mode in modes[: 1 + bool(operation.body)]
        ]
    if label == f"POST {CHAT}":
        found.append(operation.as_strategy().map(_answered))
    return st.one_of(found)


def _answered(case: Case) -> Case:
    """About a model that answers."""
    assert isinstance(case.body, dict)
    case.body = {**case.body, "model": "hello"}
    return case


@pytest.mark.parametrize("key", ["all", "none"])
@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_as_described(world: World, label: str, key: str) -> None:
    """Every answer is one of the document's. A key that may do all gets good ones, one that may do nothing none."""
    statuses = set()

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(label))
    def ask(case: Case) -> None:
        if case.path_parameters and case.path_parameters.get("key_id") == "me":
            return  # is another path's
        world.prepare()
        headers = {"authorization": f"Bearer {world.keys[key]}"}
        response = case.call(world.gateway.url, session=world.session, headers=headers)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    ask()
    needs_permission = SECURITY[label] not in (None, [{"key": []}], [{}, {"key": []}])
    if key == "all" or not needs_permission:
        assert any(status < 300 for status in statuses), statuses
    else:
        assert statuses <= {403, 404}, statuses  # 404: a name that makes another path
        assert 403 in statuses


NEEDED: Final = [
    (label, found[0]["key"][0]) for label, found in SECURITY.items() if found and found[0].get("key")
]


@pytest.mark.parametrize(("label", "permission"), NEEDED)
def test_permission(world: World, label: str, permission: str) -> None:
    """The permission that the document names is enough for a key, and no other will do instead."""
    method, path = label.split(" ")
    asked = world.gateway.url + path.format(**KNOWN)
    others = {each.value for each in Permission} - {permission, Permission.ADMIN.value}
    for number, permissions in enumerate(({permission}, others, set[str]())):
        world.prepare()
        key = asyncio.run_coroutine_threadsafe(
            caller(world.gateway, next(world.numbers), "alice", *permissions), world.loop
        ).result(10)
        answer = world.session.request(method, asked, headers={"authorization": f"Bearer {key.key}"}, json={})
        refused = answer.status_code == 403 and answer.json()["error"]["code"] == "insufficient_permissions"
        assert refused == (number > 0), answer.text


def test_the_look_is_awake(world: World) -> None:
    """An answer that is not described would be told."""
    case = OPERATIONS["GET /health"].Case()
    right = case.call(world.gateway.url, session=world.session)
    case.validate_response(right, checks=CHECKS)
    for status, content in (
        (418, right.content),
        (503, right.content),
        (200, b'{"status":"well"}'),
        (200, b""),
    ):
        wrong = case.call(world.gateway.url, session=world.session)
        wrong.status_code, wrong.content = status, content
        with pytest.raises(FailureGroup):
            case.validate_response(wrong, checks=CHECKS)
