"""Every string that a client chooses, in every place where it may choose one.

Nothing of it makes the gateway fail, and nothing of it comes out again in a header, a line of the log or a request to
the provider's headers in a form that somebody else would take for more than text.
"""

import json
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.support.injection import STRINGS, UPSTREAM, assert_clean_log
from tests.support.scripted import CHAT, REQUEST, scripted
from tests.support.wire import connected, request

FIELDS: Final = (
    "model",
    "user",
    "messages",
    "name",
    "metadata",
    "tools",
    "stop",
    "x\u202e",
    "response_format",
)
HEADERS: Final = (
    *("x-request-id", "x-client-request-id", "authorization", "origin", "user-agent", "accept", "referer"),
    *("content-type", "content-length", "transfer-encoding", "access-control-request-headers", "cookie"),
    *(
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "accept-encoding",
        "if-none-match",
        "range",
    ),
)


def body_with(field: str, text: str) -> dict[str, Any]:
    """A completion with this text in this field."""
    values: dict[str, Any] = {
        "messages": [{"role": "user", "content": text}],
        "name": {"name": text},
        "metadata": {text: text},
        "tools": [{"type": "function", "function": {"name": text}}],
        "response_format": {"type": text},
    }
    return {**REQUEST, field: values.get(field, text)}


@pytest.mark.parametrize("name", STRINGS)
async def test_in_bodies(name: str) -> None:
    """In fields of the body: answered or refused; the provider's headers are the same as ever."""
    async with scripted() as gateway:
        for field in FIELDS:
            answer = await gateway.chat(body_with(field, STRINGS[name]))
            assert answer.status < 500
            assert all(value.isascii() and value.isprintable() for _, value in answer.headers)
            assert answer.header("set-cookie") is None
        await gateway.lines(len(FIELDS))
        assert_clean_log(gateway)
        sent = {
            (each, value)
            for exchange in gateway.provider.exchanges
            for each, value in exchange.asked.headers
            if each != "content-length"
        }
        assert len(sent) in {0, len(UPSTREAM)}
        assert {each for each, _ in sent} <= UPSTREAM


@pytest.mark.parametrize("name", STRINGS)
async def test_in_headers(name: str) -> None:
    """In headers: refused by the server, or taken; what comes back of it is printable ASCII."""
    text = STRINGS[name].encode("utf-8", "surrogatepass")
    body = json.dumps(dict(REQUEST)).encode()
    async with scripted(server='cors_origins = ["https://app.example.com"]') as gateway:
        for header in HEADERS:
            lines: list[str | bytes] = [b"%b: %b" % (header.encode(), text), b"connection: close"]
            if header != "authorization":
                lines.append(gateway.bearer)
            async with connected(gateway.url) as wire:
                await wire.send(request("POST", CHAT, *lines, body=body))
                answer = await wire.answer()
            assert answer.status < 500, header
            assert all(value.isascii() and value.isprintable() for _, value in answer.headers), header
            assert {name for name, _ in answer.headers}.isdisjoint({"set-cookie", "injected"}), header
        await gateway.send("GET", "/health")
        await gateway.lines()
        assert_clean_log(gateway)


@pytest.mark.parametrize("name", STRINGS)
async def test_in_paths_and_methods(name: str) -> None:
    """In the path, the query and the method: not found or not allowed, and shown without what a terminal obeys."""
    text = quote(STRINGS[name].encode("utf-8", "surrogatepass"))
    async with scripted(server="docs = true") as gateway:
        for target in (f"/{text}", f"/v1/models/{text}", f"/health?{text}", f"/health#{text}", f"//{text}"):
            answer = await gateway.send("GET", target, gateway.bearer)
            assert answer.status in {200, 400, 404}, target
            assert all(value.isascii() and value.isprintable() for _, value in answer.headers)
            if answer.status == 404:
                assert answer.error["message"].isprintable()
                assert len(answer.body) < 2_000
        for method in ("G%T", "X" * 50, "get", "POST'"):
            assert (await gateway.send(method, f"/{text}")).status in {400, 404, 405}
        await gateway.lines()
        assert_clean_log(gateway)
