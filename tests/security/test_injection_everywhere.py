"""Every field, header, parameter and path of every endpoint, by the OpenAPI document, with what clients may send.

Nothing of it is a failure of the gateway's, and nothing of it comes out again raw: in a header, in a line of the log,
or at a provider.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import pytest

from common.http.openapi import describe
from common.model.principal import Permission
from tests.support.callers import caller
from tests.support.gateway import load_functions
from tests.support.injection import (
    STRINGS,
    VALUES,
    assert_clean_log,
    assert_clean_upstream,
    assert_harmless,
    fields,
    with_value,
)
from tests.support.records import usage_record
from tests.support.scripted import CHAT, REQUEST, ScriptedGateway, scripted
from tests.support.wire import Answer, connected, request

BODIES: Final[Mapping[str, Mapping[str, Any]]] = {f"POST {CHAT}": REQUEST}
HEADERS: Final = (
    *(
        "authorization",
        "origin",
        "user-agent",
        "accept",
        "content-type",
        "x-request-id",
        "x-client-request-id",
    ),
    *(
        "x-session-id",
        "traceparent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "cookie",
        "referer",
    ),
    *("accept-encoding", "if-none-match", "range", "access-control-request-headers", "x-\u202e"),
)
KEY_ID: Final = "key_90"


@dataclass(frozen=True, slots=True)
class Operation:
    """One of the document's."""

    method: str
    path: str
    described: Mapping[str, Any]
    schemas: Mapping[str, Any]

    def target(self, name: str = "", value: bytes = b"") -> str:
        """The path, with this value for the parameter `name`, and things that there are for the others."""
        known = {"key_id": KEY_ID, "model": "hello", "request_id": str(usage_record(1).request_id)}
        chosen = {each: quote(value, safe="") if each == name else known[each] for each in known}
        return self.path.format(**chosen)

    def parameters(self, where: str) -> list[str]:
        """The names of those in the path or in the query."""
        return [each["name"] for each in self.described.get("parameters", ()) if each["in"] == where]

    def places(self) -> list[tuple[str | int, ...]]:
        """Of all fields of its body, and of one that nobody knows."""
        content = self.described["requestBody"]["content"]["application/json"]
        return [*dict.fromkeys(fields(content["schema"], self.schemas)), ("x\u202e",)]

    @property
    def body(self) -> Mapping[str, Any]:
        """A right one."""
        return BODIES.get(f"{self.method} {self.path}", {})


def operations() -> Iterator[Operation]:
    """All of them."""
    functions = load_functions()
    found = describe([route for function in functions for route in function.router.routes], functions)
    for path, methods in found["paths"].items():
        for method, described in methods.items():
            yield Operation(method.upper(), path, described, found["components"]["schemas"])


OPERATIONS: Final = list(operations())


def those(*, having: str) -> pytest.MarkDecorator:
    """The operations that have a body, or parameters in the path or the query."""
    found = [
        each
        for each in OPERATIONS
        if (having == "body" and "requestBody" in each.described)
        or each.parameters(having)
        or having == "header"
    ]
    return pytest.mark.parametrize("operation", found, ids=lambda each: f"{each.method} {each.path}")


class Sender:
    """Sends with a key that may do all."""

    def __init__(self, gateway: ScriptedGateway, bearer: str) -> None:
        self._gateway = gateway
        self._bearer = bearer
        self.sent = 0

    async def send(self, method: str, target: str, *lines: bytes, body: bytes = b"") -> Answer:
        """One request, on a connection of its own: what is wrong with it must not hit the next."""
        bearer = [] if any(line.startswith(b"authorization:") for line in lines) else [self._bearer]
        async with connected(self._gateway.url) as wire:
            await wire.send(request(method, target, *bearer, *lines, "connection: close", body=body))
            self.sent += 1
            return await wire.answer()


@asynccontextmanager
async def everything() -> AsyncIterator[Sender]:
    """A gateway, a key that may do all, and things that can be asked about."""
    async with scripted(server='cors_origins = ["https://app.example.com"]') as gateway:
        admin = await caller(gateway, 1, "alice", *(each.value for each in Permission))
        await caller(gateway, 90, "alice", "chat")
        gateway.held.rows.records[usage_record(1).request_id] = usage_record(1)
        sender = Sender(gateway, f"authorization: Bearer {admin.key}")
        yield sender
        assert sender.sent > 0
        await gateway.send("GET", "/health")
        await gateway.lines()
        assert_clean_log(gateway)
        assert_clean_upstream(gateway)


@those(having="body")
async def test_fields(operation: Operation) -> None:
    """In every field of every body, those within others too, and in names of fields."""
    texts = {name: json.dumps(text).encode() for name, text in STRINGS.items()}
    async with everything() as sender:
        for place in operation.places():
            for name, value in {**texts, **VALUES}.items():
                body = with_value(operation.body, place, value)
                answer = await sender.send(operation.method, operation.target(), body=body)
                assert_harmless(answer, (place, name))
        for name, text in texts.items():
            for body in (
                b"{%b:1}" % text,
                with_value(operation.body, ("metadata",), b"{%b:{%b:1}}" % (text, text)),
            ):
                assert_harmless(await sender.send(operation.method, operation.target(), body=body), name)


@those(having="body")
async def test_bodies(operation: Operation) -> None:
    """In place of a body; and with a field twice, which is never read two ways."""
    async with everything() as sender:
        whole = {
            **VALUES,
            "empty": b"",
            "mark": b"\xef\xbb\xbf{}",
            "UTF-16": "{}".encode("utf-16"),
            "NUL": b"\x00" * 100,
        }
        for name, body in whole.items():
            assert_harmless(await sender.send(operation.method, operation.target(), body=body), name)
        for place in operation.places():
            right = json.dumps(dict(operation.body))[1:-1]
            twice = f'"{place[0]}":null,"\\u{ord(str(place[0])[0]):04x}{str(place[0])[1:]}":null'
            body = f"{{{twice}{',' if right else ''}{right}}}".encode()
            answer = await sender.send(operation.method, operation.target(), body=body)
            assert (answer.status, answer.error["code"]) == (400, "invalid_json"), (place, answer)


@those(having="query")
async def test_queries(operation: Operation) -> None:
    """In every parameter of the query, in its name, twice, and beside right ones."""
    async with everything() as sender:
        for text in STRINGS.values():
            value = quote(text.encode("utf-8", "surrogatepass"))[:60_000]
            for name in operation.parameters("query"):
                for query in (
                    f"{name}={value}",
                    f"start_time=1&{name}={value}&{name}={value}",
                    f"{name}[]={value}",
                    f"start_time=1&{name}%00={value}",
                ):
                    answer = await sender.send(operation.method, f"{operation.target()}?{query}")
                    assert_harmless(answer, (name, text))
        for raw in (
            "%",
            "%zz",
            "%ff%fe",
            "%00",
            "a=%ed%a0%80",
            "&" * 1_000,
            "start_time=" + "9" * 5_000,
            "start_time=NaN",
        ):
            assert_harmless(await sender.send(operation.method, f"{operation.target()}?{raw}"), raw)


@those(having="path")
async def test_paths(operation: Operation) -> None:
    """In every part of a path that a client chooses."""
    async with everything() as sender:
        for name in operation.parameters("path"):
            for text in (*STRINGS.values(), "..", ".", "/", "a/../b", "%00", "%2e%2e", "me\x00", " ", "*"):
                value = text.encode("utf-8", "surrogatepass")
                answer = await sender.send(operation.method, operation.target(name, value))
                assert_harmless(answer, (name, text))
            for raw in (b"\xff\xfe\xed\xa0\x80", b"\xc0\xaf\xc0\xae"):
                assert_harmless(await sender.send(operation.method, operation.target(name, raw)), raw)


@those(having="header")
async def test_headers(operation: Operation) -> None:
    """In every header that anybody reads; the server refuses some, the gateway takes the others for what they are."""
    body = json.dumps(dict(operation.body)).encode() if "requestBody" in operation.described else b""
    values = {name: text.encode("utf-8", "surrogatepass") for name, text in STRINGS.items()}
    values |= {"not UTF-8": b"\xff\xfe\xed\xa0\x80", "empty": b"", "number": b"9" * 5_000}
    async with everything() as sender:
        for header in HEADERS:
            for name, value in values.items():
                line = b"%b: %b" % (header.encode(), value)
                answer = await sender.send(operation.method, operation.target(), line, body=body)
                assert_harmless(answer, (header, name))
