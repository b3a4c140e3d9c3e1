"""Every failure as OpenAI's envelope, whoever noticed it."""

from typing import Final

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from common.gateway.delivery import Headers
from common.model.errors import BudgetExceeded, LimitError, UpstreamError
from common.wire.openai.errors import envelope, envelope_of, kind_of

_RETRY_S: Final = {503: 2}  # what we say where nobody told us


def error_headers(error: Exception, body: bytes) -> Headers:
    """The headers of an answer that is `error`'s envelope."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    status = kind_of(error).status
    retry_after_s = _retry_after_s(error, status)
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % -(-retry_after_s // 1)))
    if isinstance(error, BudgetExceeded):
        headers.append((b"x-should-retry", b"false"))  # else OpenAI's clients do, whatever the code says
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def _retry_after_s(error: Exception, status: int) -> float | None:
    told: float | None = None
    if isinstance(error, LimitError) and error.retry_after_ms is not None:
        told = error.retry_after_ms / 1000
    elif isinstance(error, UpstreamError):
        told = error.retry_after_s
    return _RETRY_S.get(status) if told is None else told


async def answer_error(_request: Request, error: Exception) -> Response:
    """FastAPI's handler for what routes raise."""
    body = envelope_of(error)
    response = Response(body, kind_of(error).status)
    response.raw_headers = error_headers(error, body)
    return response


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """The framework's own: no such route, or not with this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        message, code = f"There is no {request.method} {request.url.path[:200]} here.", "unknown_url"
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message, code = (
            f"This path does not take {request.method[:20]}, only {allowed}.",
            "method_not_allowed",
        )
    else:
        message, code = str(error.detail), "invalid_request"
    body = envelope(message, "invalid_request_error", code=code)
    return Response(body, error.status_code, error.headers, "application/json")
