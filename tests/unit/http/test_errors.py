"""Every failure as OpenAI's envelope, with the headers that belong to it, and what the log gets to know of it."""

import asyncio
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pytest
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from common.http.errors import HttpAnswers, answer_error, answer_validation, error_headers, note
from common.http.headers import AnswerHeaders
from common.http.request import facts_of
from common.http.site import Site
from common.model import errors
from common.model.ids import RequestId
from common.model.limits import Limit
from common.model.usage import Outcome
from common.telemetry.request_facts import RequestFacts
from tests.support.gateway import load_functions

NONE: Final[Mapping[bytes, bytes]] = MappingProxyType({})
APP: Final = "https://app.example.com"
ELSEWHERE: Final = "It belongs to the function models, which is served at https://m.example.com."
BELOW_V1: Final = "The API is below /v1: set the client's base URL to one that ends in /v1."


def request(method: str = "GET", path: str = "/v1/nothing", headers: Mapping[bytes, bytes] = NONE) -> Request:
    """A request for this path, as the edge has made it."""
    facts = RequestFacts(RequestId("req_1"), None, method, path)
    return Request(
        {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(b"host", b"evil.example/[")],
            "state": {"facts": facts, "headers": headers},
        }
    )


async def answer(asked: Request, error: HTTPException) -> Response:
    """What is said to it where chat and health are served, and models elsewhere."""
    site = Site(load_functions(["chat_completions", "health"]), {"models": "https://m.example.com"})
    return await HttpAnswers(site, AnswerHeaders([APP]))(asked, error)


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
    ("error", "outcome", "code"),
    [
        (errors.InvalidRequest("x", code="own"), Outcome.CLIENT, "own"),
        (errors.BodyTooLarge("x"), Outcome.CLIENT, "body_too_large"),
        (
            errors.RateLimited("x", limit=Limit.REQUESTS_PER_DAY, retry_after_ms=1),
            Outcome.LIMIT,
            "rate_limit_exceeded",
        ),
        (
            errors.BudgetInFlight("x", limit=Limit.BUDGET_DAY, retry_after_ms=1),
            Outcome.LIMIT,
            "budget_in_flight",
        ),
        (errors.UpstreamBroken("x"), Outcome.UPSTREAM, "provider_error"),
        (errors.UpstreamRejected("x", status=400, code="their_own"), Outcome.CLIENT, "their_own"),
        (errors.StorageUnavailable("x"), Outcome.GATEWAY, "storage_unavailable"),
        (errors.ClientLeft("x"), Outcome.CANCELLED, "client_closed_request"),
        (ValueError("secret"), Outcome.GATEWAY, "internal_error"),
        (asyncio.CancelledError(), Outcome.CANCELLED, None),
    ],
    ids=repr,
)
def test_noted_for_the_log(error: BaseException, outcome: Outcome, code: str | None) -> None:
    """The log is told by whose doing, and the code the client got. A limit that holds is no failure of the gateway."""
    facts = RequestFacts(RequestId("req_1"), None, "GET", "/")
    note(facts, error)
    assert (facts.outcome, facts.error) == (outcome, code)


@pytest.mark.parametrize(
    ("method", "path", "exception", "message", "code"),
    [
        ("GET", "/v1/nothing", HTTPException(404), "There is no GET /v1/nothing here.", "unknown_url"),
        (
            "GET",
            "/v1/models/a/b",
            HTTPException(404),
            f"There is no GET /v1/models/a/b here. {ELSEWHERE}",
            "unknown_url",
        ),
        (
            "POST",
            "/chat/completions",
            HTTPException(404),
            f"There is no POST /chat/completions here. {BELOW_V1}",
            "unknown_url",
        ),
        (
            "GET",
            "/v1/chat/completions",
            HTTPException(405),
            "This path does not take GET, only OPTIONS, POST.",
            "method_not_allowed",
        ),
        ("GET", "/", HTTPException(400, "Odd."), "Odd.", "invalid_request"),
        ("POST", "/", HTTPException(415, "Not JSON."), "Not JSON.", "unsupported_media_type"),
        ("POST", "/", HTTPException(408, "Slow."), "Slow.", "request_timeout"),
    ],
    ids=["404", "elsewhere", "without v1", "405", "other", "415", "408"],
)
async def test_of_http_itself(
    method: str, path: str, exception: HTTPException, message: str, code: str
) -> None:
    """What is wrong with the HTTP has the same envelope, and says what to do instead."""
    asked = request(method, path)
    response = await answer(asked, exception)
    assert response.status_code == exception.status_code
    assert response.headers["content-type"] == "application/json"
    assert ("allow" in response.headers) == (exception.status_code == 405)
    assert told(response.body) == {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": code,
    }
    assert (facts_of(asked).error, facts_of(asked).outcome) == (code, Outcome.CLIENT)


async def test_paths_are_not_repeated_at_length() -> None:
    """A long method or path is cut, what a terminal would obey is left out, and no host is named."""
    response = await answer(request("GET", "/\x1b[31m\u202e\ud800" + "x" * 10_000), HTTPException(404))
    message = told(response.body)["message"]
    assert message == "There is no GET /\ufffd[31m\ufffd\ufffd" + "x" * 192 + " here."
    response = await answer(request("X" * 10_000, "/health"), HTTPException(405))
    assert len(response.body) < 300


async def test_options() -> None:
    """Asked for its options, a path tells its methods, HEAD among them where there is GET."""
    response = await answer(request("OPTIONS", "/health"), HTTPException(405))
    assert (response.status_code, bytes(response.body)) == (204, b"")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("headers", "granted"),
    [
        (
            {
                b"origin": APP.encode(),
                b"access-control-request-method": b"POST",
                b"access-control-request-headers": b"authorization,x-stainless-os\xe9\x00",
            },
            {
                "access-control-allow-methods": "OPTIONS, POST",
                "access-control-allow-headers": "authorization,x-stainless-os",
                "access-control-max-age": "600",
            },
        ),
        (
            {b"origin": APP.encode(), b"access-control-request-method": b"POST"},
            {"access-control-allow-methods": "OPTIONS, POST", "access-control-max-age": "600"},
        ),
        ({b"origin": b"https://evil.example", b"access-control-request-method": b"POST"}, {}),
        ({b"origin": APP.encode()}, {}),
        ({b"access-control-request-method": b"POST"}, {}),
    ],
    ids=["headers asked for", "none asked for", "foreign", "no preflight", "no origin"],
)
async def test_preflight(headers: dict[bytes, bytes], granted: dict[str, str]) -> None:
    """A configured origin is granted the path's methods and the headers it asks for; a foreign one nothing."""
    asked = request("OPTIONS", "/v1/chat/completions", headers)
    response = await answer(asked, HTTPException(405))
    found = {name: value for name, value in response.headers.items() if name.startswith("access-control-")}
    assert (response.status_code, found) == (204, granted)


async def test_wrong_parameter() -> None:
    """A parameter of the query that the framework finds wrong is named as a field of a body would be."""
    wrong = RequestValidationError([{"loc": ("query", "limit"), "type": "int_type", "msg": "?"}])
    response = await answer_validation(request(), wrong)
    assert response.status_code == 400
    error = told(response.body)
    assert (error["param"], error["code"]) == ("limit", "invalid_value")
    assert error["message"] == "`limit` is not valid: it should be an integer."
