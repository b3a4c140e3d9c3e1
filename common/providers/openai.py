"""OpenAI's chat protocol as providers speak it: requests, whole answers, usage, errors. Pure.

Providers that speak it differ in data only (`_BASE_URLS`, `_HEADERS`). Errors keep their meaning and lose what is the
operator's: addresses, keys and account ids. Sources: https://platform.openai.com/docs/api-reference/chat (2026-08-21),
https://openrouter.ai/docs/api-reference/errors (2026-08-22).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from common.model.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from common.model.usage import Usage
from common.ports import Timeouts, UpstreamRequest
from common.settings import ProviderKind, ProviderSettings

EMBEDDED_BASE_URL: Final = "http://embedded/v1"  # the adapter puts the address in that it has at the time
_BASE_URLS: Final = {
    ProviderKind.OPENROUTER: "https://openrouter.ai/api/v1",
    ProviderKind.EMBEDDED: EMBEDDED_BASE_URL,
}
_HEADERS: Final = {
    # whom OpenRouter's statistics show: https://openrouter.ai/docs/app-attribution
    ProviderKind.OPENROUTER: (("x-openrouter-title", "Sluice"),),
}
_MAX_MESSAGE: Final = 1_000  # characters of a provider's words that go on to the client
_PRIVATE: Final = re.compile(r"https?://\S+|\b(?:sk|org|proj|user|key|acct)[-_][\w-]{6,}\S*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Provider:
    """An upstream that can be asked."""

    name: str
    kind: ProviderKind
    base_url: str
    headers: tuple[tuple[str, str], ...]  # authorization among them

    def chat_request(self, body: bytes, timeouts: Timeouts) -> UpstreamRequest:
        """The request for a chat completion; `body` is JSON."""
        return UpstreamRequest("POST", f"{self.base_url}/chat/completions", self.headers, body, timeouts)

    def __repr__(self) -> str:
        """Without headers: they hold the credentials."""
        return f"Provider({self.name}, {self.kind})"


def provider_of(settings: ProviderSettings) -> Provider:
    """The provider that the configuration describes."""
    base_url = settings.base_url or _BASE_URLS.get(settings.kind)
    assert base_url is not None  # the settings ask for one where the kind has none
    headers = [("content-type", "application/json"), *_HEADERS.get(settings.kind, ())]
    if settings.api_keys:
        headers.append(("authorization", f"Bearer {settings.api_keys[0].value}"))
    return Provider(settings.name, settings.kind, base_url, tuple(headers))


def usage_of(value: Any) -> Usage | None:
    """What a `usage` member says, in disjoint classes: OpenAI's prompt tokens include the cached ones.

    None where it says nothing that can be true.
    """
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details")
    prompt, completion = value.get("prompt_tokens"), value.get("completion_tokens")
    cached = (details.get("cached_tokens") if isinstance(details, dict) else None) or 0
    if not (_is_count(prompt) and _is_count(completion) and _is_count(cached)) or cached > prompt:
        return None
    return Usage(input_tokens=prompt - cached, cache_read_tokens=cached, output_tokens=completion)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def answer_usage(body: bytes) -> Usage | None:
    """The usage of a whole answer. Raises what is wrong with an answer that is none, whatever its status said."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise UpstreamBroken("The provider's answer is not JSON.") from None
    if not isinstance(answer, dict):
        raise UpstreamBroken("The provider's answer is not a completion.")
    if answer.get("error"):
        raise stated_error(answer["error"])
    if not isinstance(answer.get("choices"), list):
        raise UpstreamBroken("The provider's answer is not a completion.")
    return usage_of(answer.get("usage"))


def failure(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What an answer means whose status is not 200."""
    try:
        stated = json.loads(body)
    except (ValueError, RecursionError):
        stated = None
    error = stated.get("error") if isinstance(stated, dict) else None
    return _error(status, error, _seconds(headers.get("retry-after")))


def stated_error(error: Any) -> UpstreamError:
    """What an `error` member means that came with a status of 200, whole or within a stream."""
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code <= 599 else 502
    return _error(status, error, None)


def _error(status: int, error: Any, retry_after_s: float | None) -> UpstreamError:
    members = error if isinstance(error, dict) else {"message": error}
    said = _said(members.get("message"))
    code = members.get("code") if isinstance(members.get("code"), str) else None
    param = members.get("param") if isinstance(members.get("param"), str) else None
    match status:
        case 401 | 402 | 403:
            return UpstreamBroken(
                "The provider refused the gateway's account. This is for the gateway's operator to mend.",
                code="provider_refused",
            )
        case 408 | 504 | 524:
            return UpstreamTimeout("The provider did not answer in time.")
        case 429:
            return UpstreamRateLimited(
                f"The provider asks for patience{said or '.'}", code=code, retry_after_s=retry_after_s
            )
        case _ if 400 <= status < 500:
            message = f"The provider rejected the request{said or '.'}"
            return UpstreamRejected(message, status=status, param=param, code=code)
        case _:
            return UpstreamBroken(f"The provider failed{said or '.'}", retry_after_s=retry_after_s)


def _said(message: Any) -> str:
    """`: ` and a provider's words, without what is not the client's to see; nothing where there are none."""
    if not isinstance(message, str) or not message.strip():
        return ""
    return f": {_PRIVATE.sub('[hidden]', message.strip()[:_MAX_MESSAGE])}"


def _seconds(value: str | None) -> float | None:
    """`Retry-After` in its form of seconds."""
    return float(value) if value and value.isascii() and value.isdecimal() and len(value) < 7 else None
