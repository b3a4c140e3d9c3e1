"""The headers that are on every answer."""

import pytest

from common.http.headers import AnswerHeaders, client_request_id, client_session_id, trace_id
from common.model.ids import RequestId
from common.telemetry.request_facts import RequestFacts

APP = "https://app.example.com"


def headers(
    given: dict[bytes, bytes], *, https: bool = False, origins: tuple[str, ...] = ()
) -> dict[str, str]:
    """Those of an answer to a request with these; each stands there once."""
    facts = RequestFacts(RequestId("req_1"), client_request_id(given), "GET", "/", first_byte_s=0.0129)
    found = AnswerHeaders(origins).of(facts, given, https=https)
    assert len(found) == len(dict(found))
    return {name.decode(): value.decode() for name, value in found}


def test_always() -> None:
    """OWASP's headers for an API, no caching, no name of a server, our id, the time that it took."""
    assert headers({}) == {
        "cache-control": "private, no-store",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "referrer-policy": "no-referrer",
        "server": "",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "vary": "authorization",
        "x-request-id": "req_1",
        "openai-processing-ms": "12",
    }


@pytest.mark.parametrize(
    ("given", "https", "told"),
    [
        ({}, True, True),
        ({b"x-forwarded-proto": b"https"}, False, True),
        ({b"x-forwarded-proto": b"http"}, False, False),
        ({}, False, False),
    ],
    ids=["by https", "https before a proxy", "http before a proxy", "by http"],
)
def test_strict_transport_security(given: dict[bytes, bytes], *, https: bool, told: bool) -> None:
    """Only a client that came by https is told to stay with it, for a year."""
    found = headers(given, https=https).get("strict-transport-security")
    assert found == ("max-age=31536000" if told else None)


@pytest.mark.parametrize(
    ("given", "echoed"),
    [
        ({b"x-request-id": b"a-1"}, "a-1"),
        ({b"x-client-request-id": b"b-2"}, "b-2"),
        ({b"x-request-id": b"a-1", b"x-client-request-id": b"b-2"}, "b-2"),
        ({b"x-request-id": b"a\r\nset-cookie: x=1\x00\xe9"}, "aset-cookie: x=1"),
        ({b"x-request-id": b"\x1b\xff"}, None),
        ({b"x-request-id": b""}, None),
        ({b"x-request-id": b"x" * 600}, "x" * 512),
    ],
    ids=["usual", "OpenAI's", "both", "controls", "nothing left", "empty", "long"],
)
def test_client_request_id(given: dict[bytes, bytes], echoed: str | None) -> None:
    """The client's own id comes back beside ours: printable ASCII, bounded."""
    found = headers(given)
    assert found.get("x-client-request-id") == echoed
    assert found["x-request-id"] == "req_1"


def test_configured_origin() -> None:
    """Scripts of a configured origin may read the answer and its headers; cookies are not spoken of."""
    found = headers({b"origin": APP.encode()}, origins=(APP,))
    assert found["access-control-allow-origin"] == APP
    assert found["access-control-expose-headers"] == "*"
    assert "access-control-allow-credentials" not in found
    assert found["vary"] == "authorization, origin"


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", APP.encode() + b".evil", b"*", b""])
def test_foreign_origin(origin: bytes) -> None:
    """Scripts of any other origin may read nothing."""
    for origins in ((), (APP,)):
        found = headers({b"origin": origin}, origins=origins)
        assert not [name for name in found if name.startswith("access-control-")]


TRACE, PARENT = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


@pytest.mark.parametrize(
    ("given", "trace"),
    [
        (b"00-%b-%b-01" % (TRACE, PARENT), TRACE.decode()),
        (b"00-%b-%b-00" % (TRACE, PARENT), TRACE.decode()),
        (b"01-%b-%b-01" % (TRACE, PARENT), TRACE.decode()),
        (b"cc-%b-%b-01-what-comes" % (TRACE, PARENT), TRACE.decode()),
        (b"00-%b-%b-01-what-comes" % (TRACE, PARENT), None),
        (b"cc-%b-%b-01.what-comes" % (TRACE, PARENT), None),
        (b"ff-%b-%b-01" % (TRACE, PARENT), None),
        (b"00-%b-%b-01" % (b"0" * 32, PARENT), None),
        (b"00-%b-%b-01" % (TRACE, b"0" * 16), None),
        (b"00-%b-%b-01" % (TRACE.upper(), PARENT), None),
        (b"00-%b-%b-01" % (TRACE[1:], PARENT), None),
        (b"00-%b-%b-01" % (b"g" + TRACE[1:], PARENT), None),
        (b"00-%b-%b-1" % (TRACE, PARENT), None),
        (b"00-%b-%b" % (TRACE, PARENT), None),
        (b"00-%b-%b-01\n" % (TRACE, PARENT), None),
        (TRACE, None),
        (b"", None),
    ],
)
def test_trace(given: bytes, trace: str | None) -> None:
    """The trace's id is taken from a header that W3C's rules call valid, of later versions too, and from no other."""
    assert trace_id({b"traceparent": given}) == trace


def test_no_trace() -> None:
    """Without the header there is none."""
    assert trace_id({}) is None


@pytest.mark.parametrize(
    ("given", "session"),
    [
        (b"conv-2026-04-30-abc", "conv-2026-04-30-abc"),
        (b"a\x00b\x1b[2J\xff", "ab[2J"),
        (b"x" * 5_000, "x" * 128),
        (b"of sk-sluice-0123456789", "of [hidden]"),
        (b"\x01\x02", None),
        (b"", None),
    ],
    ids=["plain", "controls", "long", "key", "nothing else", "empty"],
)
def test_session(given: bytes, session: str | None) -> None:
    """A session's id is printable, bounded and no key, or none."""
    assert client_session_id({b"x-session-id": given}) == session
