"""Requests of the Workers platform as ASGI scopes."""

from typing import Any

import pytest

from common.targets.cloudflare.scope import scope_of

URL = "https://llm.example.com/v1/caf%C3%A9%2Fx?a=1&b=%20"


def scope(url: str = URL, *headers: tuple[str, str]) -> Any:
    """Of a POST."""
    return scope_of("POST", url, headers)


def test_path() -> None:
    """The path is decoded, and kept as it was; the query is not part of it."""
    found = scope()
    assert (found["path"], found["raw_path"]) == ("/v1/café/x", b"/v1/caf%C3%A9%2Fx")
    assert (found["query_string"], found["method"]) == (b"a=1&b=%20", "POST")


@pytest.mark.parametrize(
    ("url", "scheme", "server"),
    [
        (URL, "https", ("llm.example.com", 443)),
        ("http://127.0.0.1:8787/", "http", ("127.0.0.1", 8787)),
    ],
)
def test_server(url: str, scheme: str, server: tuple[str, int]) -> None:
    """Scheme, host and port are the URL's."""
    found = scope(url)
    assert (found["scheme"], found["server"]) == (scheme, server)


def test_headers() -> None:
    """Names and values are bytes; the client's address is the one that the platform tells."""
    found = scope(URL, ("x-name", "é"), ("cf-connecting-ip", "2001:db8::1"))
    assert found["headers"] == [(b"x-name", b"\xe9"), (b"cf-connecting-ip", b"2001:db8::1")]
    assert found["client"] == ("2001:db8::1", 0)
    assert scope()["client"] is None
