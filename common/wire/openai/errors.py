"""OpenAI's error envelope, and which HTTP status, type and code each of our errors has in it.

Shapes: https://platform.openai.com/docs/guides/error-codes (2026-08-21).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.model import errors
from common.model.errors import SluiceError


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """How a class of errors looks to a client. `code` is for errors that bring none of their own."""

    status: int
    type: str
    code: str | None


KINDS: Final[Mapping[type[SluiceError], ErrorKind]] = {
    errors.InvalidRequest: ErrorKind(400, "invalid_request_error", None),
    errors.AuthenticationFailed: ErrorKind(401, "invalid_request_error", "invalid_api_key"),
    errors.PermissionDenied: ErrorKind(403, "invalid_request_error", "insufficient_permissions"),
    errors.ModelNotFound: ErrorKind(404, "invalid_request_error", "model_not_found"),
    errors.NotFound: ErrorKind(404, "invalid_request_error", "not_found"),
    errors.BodyTooLarge: ErrorKind(413, "invalid_request_error", "body_too_large"),
    errors.ClientLeft: ErrorKind(499, "invalid_request_error", "client_closed_request"),
    errors.RequestTooLarge: ErrorKind(400, "invalid_request_error", "request_too_large"),
    errors.RateLimited: ErrorKind(429, "rate_limit_error", "rate_limit_exceeded"),
    errors.BudgetExceeded: ErrorKind(429, "insufficient_quota", "insufficient_quota"),
    errors.BudgetInFlight: ErrorKind(429, "rate_limit_error", "budget_in_flight"),
    errors.UpstreamRejected: ErrorKind(400, "invalid_request_error", None),
    errors.UpstreamRateLimited: ErrorKind(429, "rate_limit_error", "provider_rate_limited"),
    errors.UpstreamUnreachable: ErrorKind(502, "server_error", "provider_unreachable"),
    errors.UpstreamBroken: ErrorKind(502, "server_error", "provider_error"),
    errors.UpstreamTimeout: ErrorKind(504, "server_error", "provider_timeout"),
    errors.DeadlineExceeded: ErrorKind(504, "server_error", "deadline_exceeded"),
    errors.StorageUnavailable: ErrorKind(503, "server_error", "storage_unavailable"),
    errors.ModelUnavailable: ErrorKind(503, "server_error", "model_unavailable"),
    errors.DeadlineNear: ErrorKind(504, "server_error", "deadline_near"),
}
INTERNAL: Final = ErrorKind(500, "server_error", "internal_error")
INTERNAL_MESSAGE: Final = "The gateway failed. Its log tells why, under this request's x-request-id."


def kind_of(error: Exception) -> ErrorKind:
    """The kind of the nearest class; `INTERNAL` for what is no error of ours."""
    kind = next((KINDS[cls] for cls in type(error).__mro__ if cls in KINDS), INTERNAL)
    if isinstance(error, errors.UpstreamRejected):
        return ErrorKind(error.status, kind.type, kind.code)
    return kind


def envelope(message: str, type_: str, *, param: str | None = None, code: str | None = None) -> bytes:
    """`{"error": {...}}` with the four members that OpenAI's clients read."""
    error = {"message": message, "type": type_, "param": param, "code": code}
    return json.dumps({"error": error}, separators=(",", ":")).encode()


def envelope_of(error: Exception) -> bytes:
    """The envelope of any exception; what is not ours says nothing of itself."""
    kind = kind_of(error)
    if isinstance(error, SluiceError):
        return envelope(error.message, kind.type, param=error.param, code=error.code or kind.code)
    return envelope(INTERNAL_MESSAGE, kind.type, code=kind.code)
