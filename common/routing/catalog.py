"""A provider's own list of models, as lines of the operator's catalog, and what they change. Pure.

The list's form is OpenRouter's, of which OpenAI's has but the names:
https://openrouter.ai/docs/api-reference/list-available-models (2026-11-24). `max_model_len` is vLLM's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any, Final

from common.model.catalog import Feature, Modality
from common.model.price import LARGEST_REQUEST, LARGEST_TOKEN, Prices
from common.settings import ProviderSettings, TargetSettings
from common.settings.catalog import Catalog, is_name, write_line

_LARGEST_SIZE: Final = 10**9 - 1  # tokens
_PICO: Final = 10**12
# what is told of, where a list says which parameters a model takes
_PARAMETERS: Final = (
    *Feature,
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "seed",
    "stop",
)
_CLASSES: Final = {
    "cache_read": "input_cache_read",
    "cache_write": "input_cache_write",
    "reasoning": "internal_reasoning",
    "image": "image_token",
    "audio": "audio",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A model of which something else is known than before; None: nothing."""

    name: str  # PROVIDER/MODEL
    before: str | None  # the words of its line
    after: str | None


def read_list(provider: str, body: bytes) -> list[TargetSettings] | None:
    """The models that answer in text, with what is told of each, by name; None where it is no list.

    A model of which nothing is told is left out.
    """
    try:
        answer = json.loads(body.decode(), parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    models = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(models, list):
        return None
    targets = {}
    for each in models:
        name = each.get("id") if isinstance(each, dict) else None
        if isinstance(name, str) and is_name(f"{provider}/{name}"):
            target = _read_model(provider, name, each)
            if target is not None and target != TargetSettings(provider, name):
                targets[name] = target
    return [targets[name] for name in sorted(targets)]


def changes(catalog: Catalog, provider: ProviderSettings, targets: Sequence[TargetSettings]) -> list[Change]:
    """What `targets`, all of one provider's, change of what is known by now, in order."""
    found = []
    own = _own_lines(catalog.text, provider.name)
    listed = {f"{each.provider}/{each.model}": each for each in targets}
    for name, target in listed.items():
        known = catalog.find(provider, target.model)
        before = None if known is None else _words(known)
        if before != _words(target):
            found.append(Change(name, before, _words(target)))
    found += [Change(name, line.partition(" ")[2], None) for name, line in own.items() if name not in listed]
    return sorted(found, key=lambda change: change.name)


def rewritten(text: str, provider: str, targets: Sequence[TargetSettings], date: str) -> str:
    """The operator's catalog with these for all that it had of the provider."""
    heading = f"# {provider}/: as its list of models had it on "
    mine = _own_lines(text, provider)
    kept = [
        line
        for line in text.splitlines()
        if line and line.partition(" ")[0] not in mine and not line.startswith(heading)
    ]
    return "\n".join([*kept, heading + date, *map(write_line, targets), ""])


def _own_lines(text: str, provider: str) -> Mapping[str, str]:
    lines = [line for line in text.splitlines() if line.startswith(f"{provider}/")]
    return {line.partition(" ")[0]: line for line in lines}


def _words(target: TargetSettings) -> str:
    return write_line(target).partition(" ")[2]


def _read_model(provider: str, name: str, model: Mapping[str, Any]) -> TargetSettings | None:
    architecture, top = _table(model, "architecture"), _table(model, "top_provider")
    if architecture.get("output_modalities") not in (None, [], ["text"]):
        return None  # pictures and sounds have prices that are not told so
    context = _size(model.get("context_length")) or _size(model.get("max_model_len"))
    output = _size(top.get("max_completion_tokens")) or _size(model.get("max_output_tokens"))
    given = architecture.get("input_modalities") or model.get("modalities")
    takes = tuple(each for each in Modality if isinstance(given, list) and each in given)
    parameters = model.get("supported_parameters")
    lacks = None
    if isinstance(parameters, list) and parameters:
        lacks = frozenset(str(each) for each in _PARAMETERS if each not in parameters) or None
    return TargetSettings(
        provider,
        name,
        prices=_prices(_table(model, "pricing")),
        context_length=context,
        max_output_tokens=output if context is None or output is None or output < context else None,
        modalities=takes or None,
        unsupported=lacks,
        reasoning=True if isinstance(parameters, list) and "reasoning" in parameters else None,
    )


def _prices(pricing: Mapping[str, Any]) -> Prices | None:
    """The highest, where they depend on the length of the prompt or the time of the day."""
    overrides = pricing.get("overrides")
    tables = [
        pricing,
        *(each for each in (overrides if isinstance(overrides, list) else ()) if isinstance(each, dict)),
    ]

    def highest(name: str, largest: int) -> int | None:
        found = [_pico(table.get(name), largest) for table in tables]
        return max((each for each in found if each is not None), default=None)

    input_, output = highest("prompt", LARGEST_TOKEN), highest("completion", LARGEST_TOKEN)
    if input_ is None or output is None:
        return None
    usual = {"reasoning": output}
    classes = {name: highest(theirs, LARGEST_TOKEN) for name, theirs in _CLASSES.items()}
    own = {name: price for name, price in classes.items() if price and price != usual.get(name, input_)}
    return Prices(input=input_, output=output, request=highest("request", LARGEST_REQUEST) or 0, **own)


def _pico(value: Any, largest: int) -> int | None:
    """Rounded up; None for what is no price, like the -1 of models that route to others."""
    try:
        pico = (Decimal(value) * _PICO).to_integral_value(ROUND_CEILING)
        return int(pico) if 0 <= pico <= largest else None
    except (InvalidOperation, TypeError, ValueError, OverflowError):
        return None


def _size(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= _LARGEST_SIZE else None


def _table(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = of.get(name)
    return value if isinstance(value, dict) else {}
