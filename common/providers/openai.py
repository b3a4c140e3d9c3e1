"""OpenAI's chat protocol as providers speak it: requests, and answers in one piece. Pure.

Providers that speak it differ in data only (`_BASE_URLS`, `_HEADERS`). What their errors mean is in `openai_errors.py`.
Source: https://platform.openai.com/docs/api-reference/chat (2026-08-21).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.model.errors import UpstreamBroken
from common.model.price import Prices, usd_per_million_text, usd_text
from common.ports import Timeouts, UpstreamRequest
from common.providers.openai_errors import HIDDEN, stated_error
from common.providers.openai_usage import content_bytes
from common.settings import OnDisconnect, ProviderKind, ProviderSettings

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
_MIN_SECRET: Final = 6  # characters; what is shorter is a word
_MAX_ID: Final = 128


@dataclass(frozen=True, slots=True)
class Provider:
    """An upstream that can be asked."""

    name: str
    kind: ProviderKind
    base_url: str
    headers: tuple[tuple[str, str], ...]  # authorization among them
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL

    @property
    def cancel_stops_billing(self) -> bool:
        """Whether closing the connection ends what is charged. Nobody would read on, or ask later, if it did."""
        return self.on_disconnect is OnDisconnect.CANCEL and self.kind in _CANCEL_STOPS_BILLING

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
                text = text.replace(private, HIDDEN)
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
    return Provider(settings.name, settings.kind, base_url, tuple(headers), settings.on_disconnect)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway needs of a whole answer; its bytes go on as they are."""

    id: str | None
    usage: Any  # as the provider said it
    content_bytes: int


def refuse_compressed(headers: Mapping[str, str]) -> None:
    """Nobody asked for it, and no bound would hold for what came out of it: `UpstreamBroken`."""
    coding = headers.get("content-encoding")
    if coding and coding.lower() != "identity":
        raise UpstreamBroken("The provider's answer is compressed, which nobody asked for.")


def read_answer(body: bytes) -> Answer:
    """Look into a whole answer. Raises what is wrong with one that is none, whatever its status said.

    OpenRouter puts an error that came in the middle beside what there was of the choice: that part may be billed.
    """
    try:
        answer = json.loads(body.decode())  # by itself, it would take other encodings too
    except (ValueError, RecursionError):
        raise UpstreamBroken("The provider's answer is not JSON.") from None
    if not isinstance(answer, dict):
        raise UpstreamBroken("The provider's answer is not a completion.")
    if answer.get("error"):
        raise stated_error(answer["error"])
    if not isinstance(answer.get("choices"), list):
        raise UpstreamBroken("The provider's answer is not a completion.")
    if broken := choice_error(answer["choices"]):
        error = stated_error(broken)
        error.may_be_billed = True
        raise error
    return Answer(
        provider_request_id(answer.get("id")), answer.get("usage"), content_bytes(answer["choices"])
    )


def choice_error(choices: Any) -> Any:
    """The first `error` that stands in a choice, where OpenRouter may put it; None where there is none."""
    each = choices if isinstance(choices, list) else ()
    return next(
        (choice["error"] for choice in each if isinstance(choice, dict) and choice.get("error")), None
    )


def provider_request_id(value: Any) -> str | None:
    """The provider's own id of what it generates, if it can be one. OpenRouter tells it in a header, too."""
    is_one = isinstance(value, str) and 0 < len(value) <= _MAX_ID and value.isascii() and value.isprintable()
    return value if is_one else None
