"""OpenAI's chat protocol as providers speak it: requests, whole answers, usage, errors. Pure.

Providers that speak it differ in data only (`_BASE_URLS`, `_HEADERS`). Errors keep their meaning and lose what is the
operator's: addresses, keys and account ids. Sources: https://platform.openai.com/docs/api-reference/chat (2026-08-21),
https://openrouter.ai/docs/api-reference/errors (2026-08-22).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.model.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from common.model.price import Prices, usd_per_million_text, usd_text
from common.ports import Timeouts, UpstreamRequest
from common.providers.openai_usage import content_bytes
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
# OpenRouter stops with some of its own providers only, and does not say with which one it was:
# https://openrouter.ai/docs/api-reference/streaming (2026-08-22)
_CANCEL_STOPS_BILLING: Final = frozenset({ProviderKind.OPENAI, ProviderKind.EMBEDDED})
_MAX_MESSAGE: Final = 1_000  # characters of a provider's words that go on to the client
_HIDDEN: Final = "[hidden]"
_MIN_SECRET: Final = 6  # characters; what is shorter is a word
_MAX_WORD: Final = 100  # of its `code` and `param`
_PRIVATE: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://\S+"
    r"|\b(?:localhost|[\w-]+(?:\.[\w-]+)+):[0-9]{2,5}\b"
    r"|\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b"
    r"|\bbearer\s+\S+"
    r"|\bsk[-_]\S{4,}"  # half masked ones too
    r"|\b(?:org|proj|user|key|acct)[-_][a-z0-9*]{12,}"
    r"|(?<![a-z0-9])(?=[a-z]*[0-9])[a-z0-9]{20,}",  # what is random: other keys, digests, ids
    re.ASCII | re.IGNORECASE,
)
# what is named in an answer whose status says nothing: OpenAI's codes, and OpenRouter's `error_type`
_STATUSES: Final = {
    "context_length_exceeded": 400,
    "max_tokens_exceeded": 400,
    "token_limit_exceeded": 400,
    "invalid_prompt": 400,
    "invalid_request": 400,
    "content_policy_violation": 400,
    "authentication": 401,
    "payment_required": 402,
    "permission_denied": 403,
    "not_found": 404,
    "model_not_found": 404,
    "timeout": 504,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
}


@dataclass(frozen=True, slots=True)
class Provider:
    """An upstream that can be asked."""

    name: str
    kind: ProviderKind
    base_url: str
    headers: tuple[tuple[str, str], ...]  # authorization among them
    cancel_stops_billing: bool  # closing the connection ends what is charged

    def chat_request(self, body: bytes, timeouts: Timeouts) -> UpstreamRequest:
        """The request for a chat completion; `body` is JSON."""
        return UpstreamRequest("POST", f"{self.base_url}/chat/completions", self.headers, body, timeouts)

    def price_bound(self, body: Mapping[str, Any], prices: Prices) -> dict[str, object]:
        """Members that keep the provider from choosing something dearer than the prices that money is held at.

        OpenRouter's `max_price` is in USD per million tokens, and per request.
        """
        if self.kind is not ProviderKind.OPENROUTER:
            return {}
        given = body.get("provider")
        wanted = given if isinstance(given, dict) else {}
        most = {
            "prompt": usd_per_million_text(prices.input),
            "completion": usd_per_million_text(prices.output),
            "request": usd_text(prices.request),
        }
        return {"provider": {**wanted, "max_price": most}}

    def hide(self, text: str) -> str:
        """`text`, should the provider have said in it where it is or what it is asked with."""
        host = self.base_url.split("/")[2]
        key = dict(self.headers).get("authorization", "").removeprefix("Bearer ")
        for private in (host, host.partition(":")[0], key):
            if len(private) >= _MIN_SECRET:
                text = text.replace(private, _HIDDEN)
        return text

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
    stops = settings.kind in _CANCEL_STOPS_BILLING
    return Provider(settings.name, settings.kind, base_url, tuple(headers), stops)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway needs of a whole answer; its bytes go on as they are."""

    usage: Any  # as the provider said it
    content_bytes: int


def read_answer(body: bytes) -> Answer:
    """Look into a whole answer. Raises what is wrong with one that is none, whatever its status said."""
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
    return Answer(answer.get("usage"), content_bytes(answer["choices"]))


def failure(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """What an answer means whose status is not 200. Some servers (vLLM, Mistral) have no envelope around the error."""
    try:
        stated = json.loads(body)
    except (ValueError, RecursionError):
        stated = None
    error = stated.get("error") or stated if isinstance(stated, dict) else None
    return _error(status, error, _seconds(headers.get("retry-after")))


def stated_error(error: Any) -> UpstreamError:
    """What an `error` member means that came with a status of 200, whole or within a stream."""
    code = error.get("code") if isinstance(error, dict) else None
    if not (isinstance(code, int) and 400 <= code <= 599):
        code = _STATUSES.get(_code(error) or "", 502)
    return _error(code, error, None)


def _error(status: int, error: Any, retry_after_s: float | None) -> UpstreamError:
    members = error if isinstance(error, dict) else {"message": error}
    said, code = _said(members.get("message")), _code(error)
    match status:
        case 401 | 402 | 403:
            return UpstreamFailed(
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
            return UpstreamRejected(message, status=status, param=_word(members.get("param")), code=code)
        case _ if error is not None:
            return UpstreamFailed(f"The provider failed{said or '.'}", retry_after_s=retry_after_s)
        case _:  # not in the provider's own form: something before it speaks, and cannot say what it did behind that
            return UpstreamBroken(f"The provider failed{said or '.'}", retry_after_s=retry_after_s)


def _code(error: Any) -> str | None:
    """OpenAI's `code`; OpenRouter has the status there, and says what happened in `metadata.error_type`."""
    if not isinstance(error, dict):
        return None
    metadata = error.get("metadata")
    return _word(error.get("code")) or (
        _word(metadata.get("error_type")) if isinstance(metadata, dict) else None
    )


def _word(value: Any) -> str | None:
    """A `code` or `param`, if it can be one."""
    is_one = isinstance(value, str) and 0 < len(value) <= _MAX_WORD and _PRIVATE.search(value) is None
    return value if is_one else None


def _said(message: Any) -> str:
    """`: ` and a provider's words, without what is not the client's to see; nothing where there are none."""
    said = message.strip() if isinstance(message, str) else ""
    if len(said) > _MAX_MESSAGE:
        said = said[:_MAX_MESSAGE].rpartition(" ")[0]  # half a key would not be known as one
    return f": {_PRIVATE.sub(_HIDDEN, said)}" if said else ""


def _seconds(value: str | None) -> float | None:
    """`Retry-After` in its form of seconds."""
    return float(value) if value and value.isascii() and value.isdecimal() and len(value) < 7 else None
