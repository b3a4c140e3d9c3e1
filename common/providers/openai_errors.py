"""What a provider's errors mean, in OpenAI's protocol and in OpenRouter's, and what of them a client may see. Pure.

Errors keep their meaning and lose what is the operator's: addresses, keys and ids of accounts. What only the operator
can mend (the key, the account's money) is never put as if it were the client's request or the client's own limit.
Sources: https://platform.openai.com/docs/guides/error-codes (2026-08-21),
https://openrouter.ai/docs/api-reference/errors-and-debugging (2026-08-22).
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from common.model.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
)

HIDDEN: Final = "[hidden]"
MAX_RETRY_AFTER_S: Final = (
    3_600.0  # a client may sleep as long as it is told; by then other things have changed
)
_MAX_MESSAGE: Final = 1_000  # characters of a provider's words that go on to the client
_MAX_WORD: Final = 100  # of its `code` and `param`
_MAX_REASONS: Final = 10
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
_REFUSED: Final = "The provider refused the gateway's account. This is for the gateway's operator to mend."
_NO_CREDIT: Final = (
    "The gateway's account at the provider has no credit left. This is for the gateway's operator to mend."
)
_PRIVATE: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://\S+"
    r"|\b(?:localhost|[\w-]+(?:\.[\w-]+)+):[0-9]{2,5}\b"
    r"|\b(?:[\w-]+\.)+(?:internal|local|corp|lan|svc|intranet)\b\S*"
    r"|\b(?:[\w-]+\.){2,}(?:com|net|org|io|ai|dev|app|cloud|xyz)\b\S*"
    r"|\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b"
    r"|(?<![\w:])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?![\w:])|::1\b"
    r"|\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"
    r"|\barn:\S+|\bprojects/[\w-]+"
    r"|\bbearer\s+\S+"
    r"|\bsk[-_]\S{4,}"  # half masked ones too
    r"|\b(?:org|proj|user|key|acct)[-_][a-z0-9*]{12,}"
    r"|(?<![a-z0-9])(?=[a-z]*[0-9])[a-z0-9]{20,}",  # what is random: other keys, digests, ids
    re.ASCII | re.IGNORECASE,
)
# words for an account without money; OpenAI sends them with a status of 429, as if waiting helped
_UNPAID: Final = frozenset(
    {
        *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"),
        *("project_spend_limit_exceeded", "payment_required"),
    }
)
# what is named in an answer whose status says nothing: OpenAI's codes and types, and OpenRouter's `error_type`
_STATUSES: Final = {
    **dict.fromkeys(
        (
            *("context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long"),
            *("invalid_prompt", "invalid_request", "invalid_request_error", "refusal"),
            *("content_policy_violation", "content_filter"),
            *("invalid_image", "image_too_large", "image_too_small", "unsupported_image_format"),
            "image_download_failed",
        ),
        400,
    ),
    **dict.fromkeys(("authentication", "authentication_error", "invalid_api_key"), 401),
    **dict.fromkeys(("permission_denied", "permission_error"), 403),
    **dict.fromkeys(("not_found", "not_found_error", "model_not_found", "image_not_found"), 404),
    "precondition_failed": 412,
    "payload_too_large": 413,
    "unprocessable": 422,
    **dict.fromkeys(_UNPAID, 402),
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit_error", "requests", "tokens"), 429),
    **dict.fromkeys(("provider_overloaded", "overloaded_error"), 503),
    "timeout": 504,
}
_IN_FLIGHT: Final = "openrouter_in_flight_budget"  # of its `limit_source`: money that is held for a moment


def failure(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What an answer means whose status is not 200. Some servers (vLLM, Mistral) have no envelope around the error."""
    return error_of(status, stated(body), retry_after_s(headers))


def stated_error(error: Any) -> UpstreamError:
    """What an `error` member means that came with a status of 200, whole or within a stream."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) == 3:
        code = int(code)
    if not (isinstance(code, int) and 400 <= code <= 599):
        named = [word for word in _words(error) if word in _STATUSES]
        code = _STATUSES[named[0]] if named else 502
    return error_of(code, error, None)


def stated(body: bytes) -> Any:
    """The error that a body tells of; None where it tells of none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list) and found:  # Gemini's way
        found = found[0]
    return found.get("error") or found if isinstance(found, dict) else None


def error_of(status: int, error: Any, wait_s: float | None) -> UpstreamError:
    """What a status and the error that came with it mean; None: it tells of none."""
    if 401 <= status <= 403 or status == 429:
        about_account = _about_account(status, error, wait_s)
        if about_account is not None:
            return about_account
    members = error if isinstance(error, dict) else {"message": error}
    said, code = _said(members.get("message") or members.get("detail")), _code(error)
    match status:
        case 408 | 504 | 524:
            return UpstreamTimeout("The provider did not answer in time.")
        case 429:
            return UpstreamRateLimited(
                f"The provider asks for patience{said or '.'}", code=code, retry_after_s=wait_s
            )
        case _ if 300 <= status < 400:
            return UpstreamFailed(
                "The provider answered with a redirect, which is not followed.", code="provider_redirected"
            )
        case _ if 400 <= status < 500:
            moderated = _moderation(error) if status == 403 else None
            message = f"The provider rejected the request{said or '.'}{moderated or ''}"
            code = code if moderated is None else "content_policy_violation"
            return UpstreamRejected(message, status=status, param=_word(members.get("param")), code=code)
        case _:
            # not in the provider's own form, something before it speaks, and cannot say what it did behind that
            kind = UpstreamBroken if error is None else UpstreamFailed
            return kind(f"The provider failed{said or '.'}", retry_after_s=wait_s)


def _about_account(status: int, error: Any, retry_after_s: float | None) -> UpstreamError | None:
    """What is not the client's doing: None where it is, or is the provider's."""
    if status == 402 and _metadata(error).get("limit_source") == _IN_FLIGHT:
        return UpstreamRateLimited(
            "The provider asks for patience: too much is under way there for the gateway's account.",
            retry_after_s=retry_after_s,
        )
    if _is_unpaid(status, error):
        return UpstreamRefused(_NO_CREDIT, code="provider_out_of_credit")
    if status == 429 or (status == 403 and _moderation(error) is not None):
        return None
    return UpstreamRefused(_REFUSED, code="provider_refused")


def _metadata(error: Any) -> Mapping[str, Any]:
    metadata = error.get("metadata") if isinstance(error, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _code(error: Any) -> str | None:
    """OpenAI's `code`; OpenRouter has the status there, and says what happened in `metadata.error_type`."""
    if not isinstance(error, dict):
        return None
    return _word(error.get("code")) or _word(_metadata(error).get("error_type"))


def _words(error: Any) -> list[str]:
    """All that may name what happened, the most exact first."""
    if not isinstance(error, dict):
        return []
    said = error.get("code"), _metadata(error).get("error_type"), error.get("type")
    return [word for word in said if isinstance(word, str)]


def _is_unpaid(status: int, error: Any) -> bool:
    """OpenRouter names the limit of its own that is reached, with a 403."""
    of_openrouter = status == 403 and "limit_source" in _metadata(error)
    return status == 402 or of_openrouter or not _UNPAID.isdisjoint(_words(error))


def _word(value: Any) -> str | None:
    """A `code` or `param`, if it can be one."""
    is_one = isinstance(value, str) and 0 < len(value) <= _MAX_WORD and _PRIVATE.search(value) is None
    return value if is_one else None


def _said(message: Any) -> str:
    """`: ` and a provider's words, without what is not the client's to see; nothing where there are none."""
    said = message.strip() if isinstance(message, str) else ""
    if len(said) > _MAX_MESSAGE:
        said = said[:_MAX_MESSAGE].rpartition(" ")[0]  # half a key would not be known as one
    return f": {_PRIVATE.sub(HIDDEN, said)}" if said else ""


def _moderation(error: Any) -> str | None:
    """Why OpenRouter's moderation or a guardrail refused, in brackets; None where neither did.

    What they quote of the request is not repeated.
    """
    metadata = _metadata(error)
    if "reasons" not in metadata and "patterns" not in metadata:
        return None
    reasons = metadata.get("reasons")
    words = [_word(reason) for reason in reasons[:_MAX_REASONS]] if isinstance(reasons, list) else []
    told = ", ".join(word for word in words if word)
    return f" ({told})" if told else ""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long to wait, an hour at most: by `retry-after-ms`, which the official clients read first, too, else by
    `Retry-After`, in seconds or as a date, which is held against the provider's own clock.
    """
    for name, per_s in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name, "").strip()
        if _NUMBER.fullmatch(value):
            return min(float(value) / per_s, MAX_RETRY_AFTER_S)
    try:
        then, now = (
            datetime.strptime(each, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
            for each in (value, headers["date"])
        )
    except (ValueError, KeyError):
        return None
    return min(max(0.0, (then - now).total_seconds()), MAX_RETRY_AFTER_S)
