"""An upstream that can be asked: its address, its keys and its protocol, by what the configuration says. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.model.price import Prices, usd_per_million_text, usd_text
from common.ports import Timeouts, UpstreamRequest
from common.providers import cloudflare_ai_gateway
from common.providers.codec import Codec
from common.providers.credentials import Credential, Credentials, Headers
from common.providers.openai_codec import OPENAI
from common.providers.openai_errors import HIDDEN
from common.settings import OnDisconnect, ProviderKind, ProviderSettings
from common.wire.json_members import JsonMembers

EMBEDDED_BASE_URL: Final = "http://embedded/v1"  # the adapter puts the address in that it has at the time
_MIN_SECRET: Final = 6  # characters; what is shorter is a word


@dataclass(frozen=True, slots=True)
class _Kind:
    """What providers of a kind have in common."""

    base_url: str | None = None  # where the configuration names none
    headers: Headers = ()
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    cancel_stops_billing: bool = False


_KINDS: Final[Mapping[ProviderKind, _Kind]] = {
    ProviderKind.OPENAI: _Kind(cancel_stops_billing=True),
    # OpenRouter stops with some of its own providers only, and does not say with which one it was:
    # https://openrouter.ai/docs/api-reference/streaming (2026-08-22)
    ProviderKind.OPENROUTER: _Kind(
        base_url="https://openrouter.ai/api/v1",
        # whom its statistics show: https://openrouter.ai/docs/app-attribution
        headers=(("x-openrouter-title", "Sluice"),),
    ),
    # closing ends it, says OpenRouter of it, on the same page
    ProviderKind.ANTHROPIC: _Kind(
        base_url="https://api.anthropic.com/v1",
        headers=(("anthropic-version", "2023-06-01"),),
        key_header="x-api-key",
        key_prefix="",
        cancel_stops_billing=True,
    ),
    ProviderKind.EMBEDDED: _Kind(base_url=EMBEDDED_BASE_URL, cancel_stops_billing=True),
}


def _codec(kind: ProviderKind) -> Codec:
    """The protocol of a kind. What speaks another than OpenAI's is imported where it is used."""
    if kind is ProviderKind.ANTHROPIC:
        from common.providers.anthropic import ANTHROPIC

        return ANTHROPIC
    return OPENAI


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """An upstream that can be asked."""

    name: str
    kind: ProviderKind
    base_url: str
    codec: Codec
    credentials: Credentials
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL

    @property
    def headers(self) -> Headers:
        """Those of a request with its first key."""
        return self.credentials.all[0].headers

    @property
    def cancel_stops_billing(self) -> bool:
        """Whether closing the connection ends what is charged. Nobody would read on, or ask later, if it did."""
        return self.on_disconnect is OnDisconnect.CANCEL and _KINDS[self.kind].cancel_stops_billing

    def chat_request(
        self,
        body: JsonMembers,
        changes: Mapping[str, Any],
        *,
        output_max: int | None,
        credential: Credential,
        timeouts: Timeouts,
    ) -> UpstreamRequest:
        """The request for a chat completion, of the client's own; see `Encode`."""
        url = self.base_url + self.codec.path
        encoded = self.codec.encode(body, changes, output_max)
        return UpstreamRequest("POST", url, credential.headers, encoded, timeouts)

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
        keys = [credential.secret for credential in self.credentials.all]
        token = dict(self.headers).get(cloudflare_ai_gateway.TOKEN, "").removeprefix("Bearer ")
        private_ones = {host, host.partition(":")[0], *keys, token}
        for private in sorted(private_ones, key=len, reverse=True):  # one may be the beginning of another
            if len(private) >= _MIN_SECRET:
                text = text.replace(private, HIDDEN)
        return text

    def __repr__(self) -> str:
        """Without headers: they hold the credentials."""
        return f"Provider({self.name}, {self.kind})"


def provider_of(settings: ProviderSettings) -> Provider:
    """The provider that the configuration describes."""
    kind = _KINDS[settings.kind]
    base_url, headers = settings.base_url, (("content-type", "application/json"), *kind.headers)
    if (gateway := settings.cloudflare_ai_gateway) is not None:
        base_url = base_url or cloudflare_ai_gateway.base_url_of(gateway, settings.kind)
        headers += cloudflare_ai_gateway.headers_of(gateway)
    base_url = base_url or kind.base_url
    assert base_url is not None  # the settings ask for one where the kind has none
    keys = dict.fromkeys(key.value for key in settings.api_keys)
    each = [Credential((*headers, (kind.key_header, kind.key_prefix + key)), key) for key in keys]
    credentials = Credentials(each or [Credential(headers, "")])
    return Provider(
        settings.name, settings.kind, base_url, _codec(settings.kind), credentials, settings.on_disconnect
    )
