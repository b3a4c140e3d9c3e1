"""Every failure as OpenAI's envelope, whoever noticed it."""

from typing import Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from common.gateway.delivery import Headers
from common.gateway.outcome import outcome_of
from common.http.headers import AnswerHeaders
from common.http.request import facts_of, headers_of, invalid
from common.http.site import Site
from common.model.errors import BudgetExceeded, LimitError, SluiceError, UpstreamError, UpstreamRefused
from common.model.usage import Outcome
from common.telemetry.request_facts import RequestFacts
from common.telemetry.text import on_one_line
from common.wire.openai.errors import envelope, envelope_of, kind_of

_RETRY_S: Final = {503: 2}  # what we say where nobody told us
_CODES: Final = {
    404: "unknown_url",
    405: "method_not_allowed",
    408: "request_timeout",
    415: "unsupported_media_type",
}
_LONGEST_PATH: Final = 200
_LONGEST_METHOD: Final = 20


def error_headers(error: Exception, body: bytes) -> Headers:
    """The headers of an answer that is `error`'s envelope."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    status = kind_of(error).status
    retry_after_s = _retry_after_s(error, status)
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % -(-retry_after_s // 1)))
    if isinstance(error, BudgetExceeded | UpstreamRefused):
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


def note(facts: RequestFacts, error: BaseException) -> None:
    """Keep for the log what went wrong, as the client is told."""
    facts.outcome = outcome_of(error)
    if isinstance(error, Exception):
        facts.error = (error.code if isinstance(error, SluiceError) else None) or kind_of(error).code


async def answer_error(request: Request, error: Exception) -> Response:
    """FastAPI's handler for what routes raise."""
    note(facts_of(request), error)
    body = envelope_of(error)
    response = Response(body, kind_of(error).status)
    response.raw_headers = error_headers(error, body)
    return response


async def answer_validation(request: Request, error: Exception) -> Response:
    """The framework's own: a parameter in the path or the query is not what it should be."""
    assert isinstance(error, RequestValidationError)
    return await answer_error(request, invalid(error.errors(), start=1))


class HttpAnswers:
    """What is to be said of HTTP itself: no such path, not with this method, no such type of body."""

    def __init__(self, site: Site, headers: AnswerHeaders) -> None:
        self._site = site
        self._headers = headers

    async def __call__(self, request: Request, error: Exception) -> Response:
        """FastAPI's handler for its own exceptions. A request for the options of a path comes here as well."""
        assert isinstance(error, HTTPException)
        status, path = error.status_code, request.scope["path"]
        method = on_one_line(request.method, _LONGEST_METHOD)
        headers: dict[str, str] = {}
        message = str(error.detail)
        if status == 404:
            message = (
                f"There is no {method} {on_one_line(path, _LONGEST_PATH)} here.{self._site.advice(path)}"
            )
        elif status == 405:
            methods = ", ".join(self._site.methods(path))
            if method == "OPTIONS":
                return self._options(request, methods)
            headers["allow"] = methods
            message = f"This path does not take {method}, only {methods}."
        facts = facts_of(request)
        facts.error, facts.outcome = _CODES.get(status, "invalid_request"), Outcome.CLIENT
        body = envelope(message, "invalid_request_error", code=facts.error)
        return Response(body, status, headers, "application/json")

    def _options(self, request: Request, methods: str) -> Response:
        response = Response(status_code=204, headers={"allow": methods})
        response.raw_headers += self._headers.preflight(headers_of(request), methods)
        return response
