"""What a provider tells, without being paid, of a key and of the models that it has. Pure.

Sources: https://openrouter.ai/docs/api/api-reference/api-keys/get-current-key,
https://openrouter.ai/docs/guides/routing/model-variants/overview (both 2026-11-24),
https://platform.openai.com/docs/api-reference/models/list (2026-11-24),
https://platform.claude.com/docs/en/api/models-list (2026-10).
"""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

from common.model.errors import UpstreamError
from common.ports import Timeouts, UpstreamRequest
from common.providers.provider import Provider
from common.settings import ProviderKind
from common.settings.mistakes import toml_key

MAX_BYTES: Final = 32 * 2**20  # OpenRouter's list has some megabytes
_KEYS_PAGE: Final = "https://openrouter.ai/settings/keys"
# these change how a request is routed, and are in no list
_ROUTING_VARIANTS: Final = (":nitro", ":floor", ":exacto", ":online")
# OpenRouter would leave out those that answer in images or sounds, Anthropic has 20 on a page
_ALL_MODELS: Final = {
    ProviderKind.OPENROUTER: "?output_modalities=all",
    ProviderKind.ANTHROPIC: "?limit=1000",
}
_NO_SCOPE: Final = b"Missing scopes"
_NEAR: Final = 3
_LONGEST: Final = 64
_LARGEST_EXPONENT: Final = 12  # of US dollars; a number beyond it is no money


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"  # it could not be made


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found, in one sentence, and what to do about it; empty where there is nothing to do."""

    state: State
    said: str
    advice: str = ""


def key_request(provider: Provider, timeouts: Timeouts) -> UpstreamRequest:
    """Asks whether the provider takes its key: OpenRouter has an answer for that, others list their models."""
    if provider.kind is ProviderKind.OPENROUTER:
        return _get(provider, "/key", timeouts)
    return models_request(provider, timeouts)


def models_request(provider: Provider, timeouts: Timeouts) -> UpstreamRequest:
    """Asks for its models, all of them."""
    return _get(provider, f"/models{_ALL_MODELS.get(provider.kind, '')}", timeouts)


def _get(provider: Provider, path: str, timeouts: Timeouts) -> UpstreamRequest:
    return UpstreamRequest("GET", f"{provider.base_url}{path}", provider.headers, b"", timeouts)


def read_key(provider: Provider, status: int, headers: Mapping[str, str], body: bytes) -> Finding:
    """What the answer to `key_request` means."""
    if status != 200:
        if status == 401 and _NO_SCOPE in body:
            status = 403  # OpenAI's way to say that a restricted key is not for this
        return _refusal(provider, status, provider.codec.failure(status, headers, body))
    if provider.kind is ProviderKind.OPENROUTER:
        return _openrouter_key(provider, body)
    listed = read_models(status, body)
    if listed is None:
        return Finding(
            State.FAILED, "It answers with something that is no list of models.", _look_at_base_url(provider)
        )
    models = "1 model" if len(listed) == 1 else f"{len(listed):,} models"
    with_key = "the API key is accepted" if _has_key(provider) else "no API key is asked for"
    return Finding(State.OK, f"It answers, {with_key}; it has {models}.")


def read_models(status: int, body: bytes) -> frozenset[str] | None:
    """The names in the answer to `models_request`; None where it is no list."""
    answer = _parsed(body) if status == 200 else None
    models = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(models, list):
        return None
    names = (model.get("id") for model in models if isinstance(model, dict))
    return frozenset(name for name in names if isinstance(name, str))


def find_model(provider: Provider, model: str, listed: AbstractSet[str]) -> Finding:
    """Whether the provider has the model, by its list."""
    base = model
    if provider.kind is ProviderKind.OPENROUTER:
        base = next((model.removesuffix(end) for end in _ROUTING_VARIANTS if model.endswith(end)), model)
    if model in listed or base in listed:
        return Finding(State.OK, f"{provider.name} has {model}.")
    printable = sorted(name for name in listed if name.isprintable() and len(name) <= 2 * _LONGEST)
    same = [name for name in printable if name.rpartition("/")[2] == model.rpartition("/")[2]]
    near = list(dict.fromkeys([*same, *get_close_matches(model, printable, _NEAR)]))[:_NEAR]
    advice = f"Did you mean {' or '.join(near)}?" if near else "Look it up in the provider's list of models."
    return Finding(State.FAILED, f"{provider.name} has no {model}.", advice)


def _refusal(provider: Provider, status: int, error: UpstreamError) -> Finding:
    match status:
        case _ if status == 401 or (status == 403 and provider.kind is ProviderKind.OPENROUTER):
            return Finding(State.FAILED, f"{_the_key(provider)} is refused ({status}).", _new_key(provider))
        case 402:
            said = "The account at the provider, or the key, has no money left (402)."
            return Finding(State.FAILED, said, "Add credit, or raise the key's limit.")
        case 403:
            said = f"{_the_key(provider)} is known, but may not list models (403)."
            advice = "It may be good for completions all the same: send one, or let the key read models."
            return Finding(State.UNKNOWN, said, advice)
        case 404 | 405 if provider.kind is not ProviderKind.OPENROUTER:
            said = f"It has no list of models ({status}), so that neither key nor models can be checked."
            return Finding(State.UNKNOWN, said, _look_at_base_url(provider))
        case 429:
            return Finding(State.UNKNOWN, "It asks for patience (429).", "Try again in a minute.")
        case _:
            advice = _look_at_base_url(provider) if status < 500 else "Try again, or ask the provider."
            return Finding(State.FAILED, f"{provider.hide(error.message).rstrip('.')} ({status}).", advice)


def _openrouter_key(provider: Provider, body: bytes) -> Finding:
    answer = _parsed(body)
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict) or "limit" not in data:
        said = "It answers with something that is not OpenRouter's."
        return Finding(State.FAILED, said, _look_at_base_url(provider))
    if data.get("is_management_key") is True or data.get("is_provisioning_key") is True:
        said = "This is a management key, which no model answers."
        return Finding(State.FAILED, said, _new_key(provider))
    key = f"The API key{_label(data.get('label'))} is accepted"
    limit, left = _money(data.get("limit")), _money(data.get("limit_remaining"))
    if limit is None or left is None:
        advice = f"Give it one at {_KEYS_PAGE}: it bounds what can be lost with the key."
        return Finding(State.OK, f"{key}; it has no credit limit of its own.", advice)
    every = data.get("limit_reset")
    reset = f", {every}" if every in {"daily", "weekly", "monthly"} else ""
    said = f"{key}; {left:.2f} of {limit:.2f} USD are left{reset}."
    if left <= 0:
        return Finding(State.FAILED, said, f"Raise its credit limit at {_KEYS_PAGE}, or use another key.")
    return Finding(State.OK, said)


def _label(label: Any) -> str:
    """In a sentence. Where nobody has given one, it is the key, masked; one that is not masked is not shown."""
    if not isinstance(label, str) or not label.isprintable() or not 0 < len(label) <= _LONGEST:
        return ""
    if "sk-" in label and not ("..." in label or "…" in label):
        return ""
    return f" {label}"


def _money(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    return amount if abs(amount.adjusted()) <= _LARGEST_EXPONENT else None


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return None


def _has_key(provider: Provider) -> bool:
    return bool(provider.credentials.all[0].secret)


def _the_key(provider: Provider) -> str:
    return "The API key" if _has_key(provider) else "A request without an API key"


def _new_key(provider: Provider) -> str:
    if not _has_key(provider):
        return f'Give {_table(provider)} an api_key = "env:NAME", and put a valid one into that variable.'
    is_openrouter = provider.kind is ProviderKind.OPENROUTER
    put = f"Make one at {_KEYS_PAGE}, and put it" if is_openrouter else "Put a valid one"
    return f"{put} into the variable that api_key of {_table(provider)} names."


def _look_at_base_url(provider: Provider) -> str:
    return f"Is base_url of {_table(provider)} right? It goes up to and including /v1: {provider.base_url}"


def _table(provider: Provider) -> str:
    return f"[providers.{toml_key(provider.name)}]"
