"""What Anthropic's errors mean, by way of what the same is at OpenAI's. Pure.

Its `type` is broad; `details.error_code` is not always there. Some causes are told in words alone: that an input is too
long, that the account has no credit, that a filter has refused. Words that are not known leave the broad meaning.
Source: https://platform.claude.com/docs/en/api/errors (2026-10).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from common.model.errors import UpstreamError
from common.providers.openai_errors import error_of, retry_after_s, stated

_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 529,
    "timeout_error": 504,
}
_TOO_LONG: Final = re.compile(
    r"prompt is too long|exceeds? (?:the )?(?:model's )?(?:maximum )?context", re.IGNORECASE
)
_NO_CREDIT: Final = re.compile(r"credit balance is too low", re.IGNORECASE)
_FILTERED: Final = re.compile(r"content filtering policy", re.IGNORECASE)
_SPEND_LIMIT: Final = re.compile(r"spend_limit_reached\Z|billing_unavailable\Z")
# `messages.0.content: ...` names a member of the API's request; these have another name in the client's
_MEMBER: Final = re.compile(r"([a-z_]+)(?:\.[\w.-]+)?: ")
_PARAMS: Final = {
    "system": "messages",
    "stop_sequences": "stop",
    "output_config": "response_format",
    "thinking": "reasoning_effort",
    "metadata": "user",
    **{
        name: name
        for name in ("messages", "model", "tools", "tool_choice", "temperature", "top_p", "max_tokens")
    },
}


def failure(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What an answer means whose status is not 200."""
    return _error(status, stated(body), retry_after_s(headers))


def stated_error(error: Any) -> UpstreamError:
    """What an `error` member means that came with a status of 200."""
    kind = error.get("type") if isinstance(error, dict) else None
    return _error(_STATUSES.get(kind, 502) if isinstance(kind, str) else 502, error, None)


def _error(status: int, error: Any, wait_s: float | None) -> UpstreamError:
    if not isinstance(error, dict):
        return error_of(status, error, wait_s)
    said = error.get("message")
    message = said if isinstance(said, str) else ""
    status, code = _meaning(status, message, _error_code(error))
    named = _MEMBER.match(message)
    param = _PARAMS.get(named[1]) if named else None
    return error_of(status, {"message": message, "code": code, "param": param}, wait_s)


def _error_code(error: Mapping[str, Any]) -> str | None:
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    return code if isinstance(code, str) else None


def _meaning(status: int, message: str, code: str | None) -> tuple[int, str | None]:
    """Status and code in OpenAI's words."""
    if code is not None and _SPEND_LIMIT.search(code):
        return 402, None
    if status != 400:
        return status, code
    if _NO_CREDIT.search(message):
        return 402, None
    if _TOO_LONG.search(message):
        return 400, "context_length_exceeded"
    return 400, "content_policy_violation" if _FILTERED.search(message) else code
