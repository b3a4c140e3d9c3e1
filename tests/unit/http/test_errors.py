"""Every failure as OpenAI's envelope, with the headers that belong to it."""

import json
from typing import Any

import pytest
from fastapi import Request
from starlette.exceptions import HTTPException

from common.http.errors import answer_error, answer_http_exception, error_headers
from common.model import errors


def request(method: str = "GET", path: str = "/v1/nothing") -> Request:
    """A request for this path."""
    return Request({"type": "http", "method": method, "path": path, "headers": [(b"host", b"evil.example")]})


def told(body: bytes | memoryview) -> dict[str, Any]:
    """The error in an envelope."""
    error: dict[str, Any] = json.loads(bytes(body))["error"]
    return error


@pytest.mark.parametrize(
    ("error", "extra"),
    [
        (errors.InvalidRequest("x"), {}),
        (errors.AuthenticationFailed("x"), {b"www-authenticate": b"Bearer"}),
        (errors.StorageUnavailable("x"), {b"retry-after": b"2"}),
        (errors.UpstreamRateLimited("x"), {}),
        (errors.UpstreamRateLimited("x", retry_after_s=30.0), {b"retry-after": b"30"}),
        (errors.UpstreamRateLimited("x", retry_after_s=0.0), {b"retry-after": b"0"}),
        (errors.UpstreamRateLimited("x", retry_after_s=0.2), {b"retry-after": b"1"}),
        (errors.UpstreamRateLimited("x", retry_after_s=999_999.0), {b"retry-after": b"999999"}),
        (errors.UpstreamBroken("x", retry_after_s=5.0), {b"retry-after": b"5"}),
        (errors.DeadlineNear("x"), {}),
        (ValueError("x"), {}),
    ],
    ids=repr,
)
async def test_headers(error: Exception, extra: dict[bytes, bytes]) -> None:
    """The type and length of the body, whole seconds to wait, rounded up, and the scheme for who sent no key."""
    headers = error_headers(error, b"12345")
    assert dict(headers) == {b"content-type": b"application/json", b"content-length": b"5", **extra}
    assert len(headers) == len(dict(headers))
    response = await answer_error(request(), error)
    assert response.raw_headers == error_headers(error, bytes(response.body))


async def test_status() -> None:
    """The answer has the error's status and its envelope."""
    response = await answer_error(request(), errors.UpstreamRejected("No.", status=422, param="n", code="c"))
    assert response.status_code == 422
    assert told(response.body) == {
        "message": "No.",
        "type": "invalid_request_error",
        "param": "n",
        "code": "c",
    }


@pytest.mark.parametrize(
    ("exception", "message", "code"),
    [
        (HTTPException(404), "There is no GET /v1/nothing here.", "unknown_url"),
        (
            HTTPException(405, headers={"Allow": "POST"}),
            "This path does not take GET, only POST.",
            "method_not_allowed",
        ),
        (HTTPException(400, "Odd."), "Odd.", "invalid_request"),
    ],
    ids=["404", "405", "other"],
)
async def test_frameworks_own(exception: HTTPException, message: str, code: str) -> None:
    """What the framework refuses itself has the same envelope."""
    response = await answer_http_exception(request(), exception)
    assert response.status_code == exception.status_code
    assert response.headers["content-type"] == "application/json"
    assert response.headers.get("allow") == (exception.headers or {}).get("Allow")
    assert told(response.body) == {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": code,
    }


async def test_paths_are_not_repeated_at_length() -> None:
    """A long method or path is cut, and no host is named."""
    response = await answer_http_exception(request("GET", "/" + "x" * 10_000), HTTPException(404))
    assert len(response.body) < 400
    assert b"evil.example" not in bytes(response.body)
    response = await answer_http_exception(request("X" * 10_000), HTTPException(405))
    assert len(response.body) < 300
