"""Function URL events as ASGI, with Mangum as the oracle, and the prelude of a streamed response."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mangum.handlers.api_gateway import HTTPGateway
from mangum.types import LambdaConfig, LambdaContext

from common.targets.aws.scope import body_of, is_http, prelude_of, scope_of
from tests.support.url_events import url_event

_CONFIG = LambdaConfig(api_gateway_base_path="/", text_mime_types=[], exclude_headers=[])
_OURS = {"raw_path", "asgi"}  # where we say more than Mangum does
_MANGUM_ONLY = {"aws.event", "aws.context"}

_TOKEN = st.text("abcXYZ019-_", min_size=1, max_size=12)
_VALUE = st.text('aZ0 ,;=/"é€😀', max_size=20)
_PATH = st.lists(st.sampled_from(["/", "v1", "~", "+", ":", "@", "%2F", "%20", "%C3%A9", "%FF", "%"])).map(
    lambda parts: "/" + "".join(parts)
)
_QUERY = st.lists(st.sampled_from(["a", "b", "=", "&", "+", "%20", "%C3%A9", "?", "/"])).map("".join)
_COOKIE = st.sampled_from(["a=1", "b=2, 3", 'c="é"', "a=2", "d="])
_HOST = st.sampled_from([{}, {"host": "llm.example.com"}, {"host": "llm.example.com:8443"}])
_EDGE = st.sampled_from([{}, {"x-forwarded-port": "8080"}, {"x-forwarded-proto": "http"}])
_REPEATED = st.sampled_from([{}, {"accept": "a,b"}, {"x-forwarded-for": "198.51.100.7,192.0.2.1"}])
_EVENTS = st.builds(
    url_event,
    st.sampled_from(["GET", "POST", "DELETE", "OPTIONS"]),
    _PATH,
    query=_QUERY,
    headers=st.builds(
        lambda *several: {name: value for each in several for name, value in each.items()},
        st.dictionaries(_TOKEN, _VALUE, max_size=5),
        _HOST,
        _EDGE,
        _REPEATED,
    ),
    cookies=st.lists(_COOKIE, max_size=3),
    body=st.binary(max_size=40) | st.text(max_size=20).map(str.encode),
    source_ip=st.ip_addresses().map(str),
)


class _NoContext:
    """Mangum only hands it on."""


def _mangum(event: dict[str, Any]) -> HTTPGateway:
    context: LambdaContext = _NoContext()  # type: ignore[assignment] # nothing of it is read
    return HTTPGateway(event, context, _CONFIG)


@given(_EVENTS)
def test_scope_is_mangum_s(event: dict[str, Any]) -> None:
    """Of every event the scope equals Mangum's, but for lists in place of tuples and what only one of them tells."""
    ours, oracle = scope_of(event), dict(_mangum(event).scope)
    oracle["headers"] = [(name, value) for name, value in oracle["headers"]]
    assert ours.keys() == oracle.keys() - _MANGUM_ONLY
    assert {name: ours[name] for name in ours.keys() - _OURS} == {
        name: oracle[name] for name in ours.keys() - _OURS
    }


@given(_EVENTS)
def test_body_is_mangum_s(event: dict[str, Any]) -> None:
    """Of every event the body equals Mangum's."""
    assert body_of(event) == _mangum(event).body


@given(st.binary(max_size=40))
def test_bodies_come_back(body: bytes) -> None:
    """A body reaches the application byte for byte, as text or in base 64."""
    assert body_of(url_event("POST", "/", body=body)) == body


def test_paths_keep_what_was_sent() -> None:
    """`path` is decoded, `raw_path` and the query are as the client wrote them, repeated names included."""
    scope = scope_of(url_event("GET", "/v1/models/openai%2Fgpt%204", query="a=1&a=2&b=%20"))
    assert scope["path"] == "/v1/models/openai/gpt 4"
    assert scope["raw_path"] == b"/v1/models/openai%2Fgpt%204"
    assert scope["query_string"] == b"a=1&a=2&b=%20"


@pytest.mark.parametrize(
    ("headers", "cookies", "expected"),
    [
        pytest.param({}, ["a=1", "b=2"], [b"a=1; b=2"], id="listed"),
        pytest.param({"cookie": "c=3"}, ["a=1"], [b"c=3"], id="header and list"),
        pytest.param({"Cookie": "c=3"}, [], [b"c=3"], id="header only"),
        pytest.param({}, [], [], id="none"),
    ],
)
def test_cookies(headers: dict[str, str], cookies: list[str], expected: list[bytes]) -> None:
    """There is one cookie header at most: the client's own, else the list put together."""
    scope = scope_of(url_event("GET", "/", headers=headers, cookies=cookies))
    assert [value for name, value in scope["headers"] if name == b"cookie"] == expected


@pytest.mark.parametrize(
    ("host", "server"),
    [
        pytest.param("llm.example.com:99", ("llm.example.com", 99), id="its own port"),
        pytest.param("llm.example.com", ("llm.example.com", 443), id="the edge's port"),
        pytest.param("llm.example.com:x", ("llm.example.com", 443), id="a word for a port"),
        pytest.param("llm.example.com:-1", ("llm.example.com", 443), id="a negative port"),
        pytest.param(f"llm.example.com:{'9' * 5000}", ("llm.example.com", 443), id="an endless port"),
        pytest.param("", ("", 443), id="empty"),
    ],
)
def test_host_is_the_client_s_word(host: str, server: tuple[str, int]) -> None:
    """No host header can make an event unreadable."""
    assert scope_of(url_event("GET", "/", headers={"host": host}))["server"] == server


@pytest.mark.parametrize(
    ("event", "http"),
    [
        pytest.param(url_event("GET", "/"), True, id="function URL"),
        pytest.param({"source": "aws.events", "detail": {}}, False, id="schedule"),
        pytest.param({"requestContext": None}, False, id="no context"),
        pytest.param({"requestContext": {"elb": {}}}, False, id="another front"),
        pytest.param({}, False, id="empty"),
        pytest.param(None, False, id="null"),
        pytest.param(["requestContext"], False, id="a list"),
    ],
)
def test_is_http(event: Any, *, http: bool) -> None:
    """Only a call of the function's URL is HTTP."""
    assert is_http(event) is http


def test_prelude() -> None:
    """The prelude is JSON and eight NULs; repeated headers are joined, cookies are listed, names are lower-case."""
    headers = [
        (b"Content-Type", b"text/event-stream"),
        (b"vary", b"origin"),
        (b"vary", b"accept"),
        (b"set-cookie", b"a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
        (b"Set-Cookie", b"b=2"),
    ]
    prelude = prelude_of(201, headers)
    assert prelude[-8:] == bytes(8)
    assert json.loads(prelude[:-8]) == {
        "statusCode": 201,
        "headers": {"content-type": "text/event-stream", "vary": "origin, accept"},
        "cookies": ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2"],
    }


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=8), st.binary(max_size=8)), max_size=4))
def test_prelude_has_no_early_end(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever bytes the headers hold, the first NUL is the first of the eight that end the prelude."""
    prelude = prelude_of(200, headers)
    assert prelude.index(0) == len(prelude) - 8


def test_text_is_not_decoded() -> None:
    """Text that looks like base 64 stays text."""
    text = base64.b64encode(b"text")
    assert body_of(url_event("POST", "/", body=text)) == text
