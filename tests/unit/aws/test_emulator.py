"""The emulator's pure parts: events of requests, with our own translation back as the oracle, and answers."""

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.targets.aws.emulator.event import Call, event_of
from common.targets.aws.emulator.response import BrokenOff, MalformedResponse, Response, whole_of
from common.targets.aws.scope import body_of, is_http, prelude_of, scope_of

_TOKEN = st.text("abcxyz019-", min_size=1, max_size=8)
_VALUE = st.text("aZ0 ;=/", max_size=12).map(str.strip)
_HEADERS = st.lists(st.tuples(_TOKEN, _VALUE), max_size=6)
_BODIES = st.binary(max_size=40) | st.text(max_size=20).map(str.encode)
_TYPES = st.sampled_from(["application/json", "text/plain", "application/octet-stream", ""])


def call(
    headers: list[tuple[str, str]], target: str = "/", body: bytes = b"", source_ip: str = "198.51.100.7"
) -> Call:
    """A request."""
    return Call(
        method="POST",
        target=target,
        headers=headers,
        body=body,
        source_ip=source_ip,
        request_id="request-1",
        trace_id="Root=1-0-0",
        now_ms=1,
    )


@given(_HEADERS, _BODIES, _TYPES, st.ip_addresses().map(str))
def test_requests_come_back(headers: list[tuple[str, str]], body: bytes, kind: str, source_ip: str) -> None:
    """What is made an event is found in the scope: body, target, source address, and headers, repeats joined."""
    asked = call([*headers, ("content-type", kind)], "/a%20b?x=1&x=2", body, source_ip)
    event = json.loads(json.dumps(event_of(asked)))
    assert is_http(event)
    scope = scope_of(event)
    found = {name.decode(): value.decode() for name, value in scope["headers"]}
    assert body_of(event) == body
    assert (scope["raw_path"], scope["query_string"], scope["client"]) == (
        b"/a%20b",
        b"x=1&x=2",
        (source_ip, 0),
    )
    for name in {name for name, _ in headers} - {"x-forwarded-for"}:
        assert found[name] == ",".join(value for each, value in asked.headers if each == name)


@pytest.mark.parametrize(
    ("headers", "encoded"),
    [
        pytest.param([("content-type", "application/json; charset=utf-8")], False, id="JSON"),
        pytest.param([("content-type", "multipart/form-data")], True, id="form"),
        pytest.param([], True, id="unnamed"),
        pytest.param([("content-type", "text/plain"), ("content-encoding", "gzip")], True, id="compressed"),
    ],
)
def test_bodies_in_base_64(headers: list[tuple[str, str]], *, encoded: bool) -> None:
    """A body is text only where its type is one of text."""
    event = event_of(call(headers, body=b"{}"))
    assert event["isBase64Encoded"] is encoded
    assert event["body"] == (base64.b64encode(b"{}").decode() if encoded else "{}")


def test_cookies_are_listed() -> None:
    """Cookies are a list of their own."""
    assert event_of(call([("cookie", "a=1; b=2")]))["cookies"] == ["a=1", "b=2"]


@given(st.integers(1, 60))
async def test_prelude_in_pieces(cut: int) -> None:
    """Status and headers are found wherever the runtime's bytes are cut."""
    raw = prelude_of(201, [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1")]) + b"body"
    response = Response()
    await response.feed(raw[:cut])
    await response.feed(raw[cut:])
    response.end()
    head = await response.head
    assert head is not None
    assert (head.status, list(head.headers)) == (201, [("content-type", "text/plain"), ("set-cookie", "a=1")])
    assert b"".join([piece async for piece in response.pieces()]) == b"body"


@pytest.mark.parametrize("raw", [b"{}" + bytes(8), b"no JSON" + bytes(8), b"[]" + bytes(8)])
async def test_no_prelude(raw: bytes) -> None:
    """What has no status is malformed."""
    with pytest.raises(MalformedResponse):
        await Response().feed(raw)


async def test_prelude_without_an_end() -> None:
    """A stream that ends before its prelude does is malformed."""
    response = Response()
    await response.feed(b'{"statusCode":200}')
    with pytest.raises(MalformedResponse):
        response.end()


async def test_slow_client_slows_the_function() -> None:
    """Beyond a few pieces that nobody has read, the function waits."""
    response = Response()
    await response.feed(prelude_of(200, ()))

    async def speak() -> None:
        for _ in range(100):
            await response.feed(b"piece")

    speaking = asyncio.create_task(speak())
    for _ in range(200):
        await asyncio.sleep(0)
    assert not speaking.done()
    pieces = response.pieces()
    for _ in range(100):
        assert await anext(pieces) == b"piece"
    await speaking


async def test_failure_comes_after_what_was_said() -> None:
    """A client reads all that came before its answer broke off."""
    response = Response()
    await response.feed(prelude_of(200, ()) + b"said")
    response.fail()
    pieces = response.pieces()
    assert await anext(pieces) == b"said"
    with pytest.raises(BrokenOff):
        await anext(pieces)


@pytest.mark.parametrize(
    ("payload", "status", "headers", "body"),
    [
        pytest.param(
            {"statusCode": 201, "headers": {"X-A": "b"}, "cookies": ["c=1"], "body": "text"},
            201,
            [("x-a", "b"), ("set-cookie", "c=1")],
            b"text",
            id="response",
        ),
        pytest.param(
            {"statusCode": 200, "body": "/w==", "isBase64Encoded": True}, 200, [], b"\xff", id="base 64"
        ),
        pytest.param({"a": 1}, 200, [("content-type", "application/json")], b'{"a": 1}', id="a value"),
        pytest.param(None, 200, [("content-type", "application/json")], b"null", id="null"),
    ],
)
def test_whole_answers(payload: object, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    """A function that does not stream answers with a status, or with a value that is the body."""
    head, found = whole_of(json.dumps(payload).encode())
    assert (head.status, list(head.headers), found) == (status, headers, body)


@pytest.mark.parametrize("payload", [b"no JSON", b'{"statusCode":"x"}', b'{"statusCode":200,"body":1}'])
def test_malformed_answers(payload: bytes) -> None:
    """Anything else is malformed."""
    with pytest.raises(MalformedResponse):
        whole_of(payload)
