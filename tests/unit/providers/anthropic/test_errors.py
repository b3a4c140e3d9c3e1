"""What Anthropic's errors come to: whose they are to mend, and when another try is worth it."""

import json
from typing import Any, Final

import pytest

from common.model.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
)
from common.providers.anthropic import ANTHROPIC
from common.providers.anthropic_errors import stated_error

LONG: Final = "prompt is too long: 210000 tokens > 200000 maximum"
BOTH: Final = "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"
CREDIT: Final = "Your credit balance is too low to access the Anthropic API."


def body(kind: str, message: str = "m", code: str | None = None) -> bytes:
    """An error as it comes."""
    error: dict[str, Any] = {"type": kind, "message": message}
    if code is not None:
        error["details"] = {"error_code": code}
    return json.dumps(
        {"type": "error", "error": error, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
    ).encode()


@pytest.mark.parametrize(
    ("status", "error", "cls", "code"),
    [
        (400, body("invalid_request_error"), UpstreamRejected, None),
        (400, body("invalid_request_error", LONG), UpstreamRejected, "context_length_exceeded"),
        (400, body("invalid_request_error", BOTH), UpstreamRejected, "context_length_exceeded"),
        (400, body("invalid_request_error", CREDIT), UpstreamRefused, "provider_out_of_credit"),
        (
            400,
            body("invalid_request_error", "Output blocked by content filtering policy"),
            UpstreamRejected,
            "content_policy_violation",
        ),
        (
            400,
            body("invalid_request_error", code="image_dimensions_too_large"),
            UpstreamRejected,
            "image_dimensions_too_large",
        ),
        (401, body("authentication_error", "invalid x-api-key"), UpstreamRefused, "provider_refused"),
        (402, body("billing_error"), UpstreamRefused, "provider_out_of_credit"),
        (403, body("permission_error"), UpstreamRefused, "provider_refused"),
        (404, body("not_found_error", "model: claude-x"), UpstreamRejected, None),
        (413, body("request_too_large", "Request exceeds the maximum size"), UpstreamRejected, None),
        (429, body("rate_limit_error"), UpstreamRateLimited, None),
        (
            429,
            body("rate_limit_error", code="ramp_limit_exceeded"),
            UpstreamRateLimited,
            "ramp_limit_exceeded",
        ),
        (
            429,
            body("rate_limit_error", code="enforced_spend_limit_reached"),
            UpstreamRefused,
            "provider_out_of_credit",
        ),
        (500, body("api_error"), UpstreamFailed, None),
        (504, body("timeout_error"), UpstreamTimeout, None),
        (529, body("overloaded_error", "Overloaded"), UpstreamFailed, None),
        (502, b"<html>", UpstreamBroken, None),
        (413, b"<html>", UpstreamRejected, None),
        (400, b'{"type":"error","error":"m"}', UpstreamRejected, None),
    ],
)
def test_statuses(status: int, error: bytes, cls: type[UpstreamError], code: str | None) -> None:
    """Each documented error has its place among ours."""
    found = ANTHROPIC.failure(status, {}, error)
    assert (type(found), found.code) == (cls, code)
    if isinstance(found, UpstreamRejected):
        assert found.status == status


@pytest.mark.parametrize("status", [429, 529, 500])
def test_patience_is_passed_on(status: int) -> None:
    """For how long to wait is told with it."""
    assert ANTHROPIC.failure(status, {"retry-after": "7"}, body("rate_limit_error")).retry_after_s == 7


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("messages.0.content.1.image.source: Invalid image", "messages"),
        ("system.0: text content blocks must be non-empty", "messages"),
        ("max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens", "max_tokens"),
        ("stop_sequences: each must have a character", "stop"),
        ("output_config.format.schema: unsupported", "response_format"),
        ("thinking.budget_tokens: Input should be at least 1024", "reasoning_effort"),
        ("container: no such thing", None),
        ("Something else: is wrong", None),
        ("", None),
    ],
)
def test_members_by_the_clients_names(message: str, param: str | None) -> None:
    """The member that is wrong is named as the client has named it."""
    assert ANTHROPIC.failure(400, {}, body("invalid_request_error", message)).param == param


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, UpstreamFailed),
        ({"type": "api_error", "message": "Internal server error"}, UpstreamFailed),
        ({"type": "rate_limit_error", "message": "m"}, UpstreamRateLimited),
        ({"type": "timeout_error", "message": "m"}, UpstreamTimeout),
        ({"type": "invalid_request_error", "message": LONG}, UpstreamRejected),
        ({"type": "billing_error", "message": "m"}, UpstreamRefused),
        ({"type": "new_error", "message": "m"}, UpstreamFailed),
        ({"type": ["x"]}, UpstreamFailed),
        ({}, UpstreamFailed),
        ("m", UpstreamFailed),
    ],
)
def test_errors_in_a_stream(error: Any, cls: type[UpstreamError]) -> None:
    """What came with a status of 200 is told by its type."""
    assert type(stated_error(error)) is cls


def test_what_is_the_operators_is_not_shown() -> None:
    """Keys and addresses in the provider's words stay here."""
    said = "invalid key sk-ant-api03-abcdefghijk at https://api.anthropic.com/v1 for org_0123456789abcdef"
    message = ANTHROPIC.failure(400, {}, body("invalid_request_error", said)).message
    assert not any(secret in message for secret in ("sk-ant", "anthropic.com", "0123456789"))
