"""What is known of a provider's models where the configuration does not say it: context, limits, prices.

There are two sources. The operator's own, a file that `sluice models refresh` writes, has lines of `PROVIDER/MODEL`.
What it does not have is looked up in a dated copy of OpenRouter's list, which comes with Sluice. Neither makes a model
reachable. Nothing is parsed but the line that is asked for, and the copy is not imported before it is needed.

A line is a name and words behind it, each of which may be missing:

    vendor/model context=128000 output=16384 price=0.15/0.6 cache_read=0.075 takes=text,image lacks=top_p reasoning
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from common.model.catalog import Modality
from common.model.price import FREE, Prices, usd_per_million, usd_per_million_text, usd_per_request, usd_text
from common.settings.values import ProviderKind, ProviderSettings, TargetSettings

CATALOG_NAME: Final = "sluice.catalog"  # beside sluice.toml
_PRICE: Final = r"[0-9]{1,5}(?:\.[0-9]{1,6})?"
_LIST: Final = r"[a-z][a-z0-9_]*(?:,[a-z][a-z0-9_]*)*"
_WORD: Final = (
    rf"context=[1-9][0-9]{{0,8}}|output=[1-9][0-9]{{0,8}}|price={_PRICE}/{_PRICE}"
    rf"|(?:cache_read|cache_write|thinking|image|audio)={_PRICE}|request=[0-9]{{1,2}}(?:\.[0-9]{{1,12}})?"
    rf"|takes=(?:text|image|audio|file)(?:,(?:text|image|audio|file))*|lacks={_LIST}|reasoning|prefill"
)
_NAME: Final = r"[!-~]{1,256}"
_LINES: Final = rf"(?:(?:#[^\n]*|{_NAME}(?: (?:{_WORD}))*)?\n)*"  # compiled where there is a catalog
_NO_MAX_TOKENS: Final = {"max_tokens": "max_completion_tokens"}
_OPENAI: Final = "https://api.openai.com/v1"
_VERSION: Final = re.compile(r"(?<=[0-9])-(?=[0-9])", re.ASCII)
_DATED: Final = re.compile(r"-[0-9]{8}$|-latest$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The operator's own lines, and OpenRouter's behind them."""

    text: str = ""

    def __post_init__(self) -> None:
        """`ValueError` where the text is none of a catalog."""
        if not self.text:
            return
        matched = re.match(_LINES, self.text, re.ASCII)
        end = matched.end() if matched else 0
        if end != len(self.text):
            line = self.text[end:].partition("\n")[0]
            raise ValueError(
                f"line {self.text.count(chr(10), 0, end) + 1} is none of a catalog: {line[:80]!r}"
            )

    def find(self, provider: ProviderSettings, model: str) -> TargetSettings | None:
        """What is known of the model; None: nothing."""
        line = _line(self.text, f"{provider.name}/{model}")
        if line is None:
            return _snapshot(provider, model)
        own, other = read_line(provider.name, model, line), _snapshot(provider, model)
        if other is None:
            return own
        # what no list of models tells
        return replace(
            own, rename=other.rename, assistant_prefill=own.assistant_prefill or other.assistant_prefill
        )


def read_line(provider: str, model: str, line: str) -> TargetSettings:
    """The words of a line."""
    words = dict(word.partition("=")[::2] for word in line.split(" ")[1:])
    return TargetSettings(
        provider,
        model,
        prices=_prices(words),
        context_length=_number(words.get("context")),
        max_output_tokens=_number(words.get("output")),
        modalities=tuple(map(Modality, words["takes"].split(","))) if "takes" in words else None,
        unsupported=frozenset(words["lacks"].split(",")) if "lacks" in words else None,
        reasoning=True if "reasoning" in words else None,
        assistant_prefill=True if "prefill" in words else None,
    )


def write_line(target: TargetSettings) -> str:
    """What `read_line` reads, with the name as an operator's catalog has it."""
    words = [f"{target.provider}/{target.model}"]
    if target.context_length:
        words.append(f"context={target.context_length}")
    if target.max_output_tokens:
        words.append(f"output={target.max_output_tokens}")
    if target.prices is not None:
        words += _price_words(target.prices)
    if target.modalities:
        words.append(f"takes={','.join(target.modalities)}")
    if target.unsupported:
        words.append(f"lacks={','.join(sorted(target.unsupported))}")
    words += ["reasoning"] if target.reasoning else []
    words += ["prefill"] if target.assistant_prefill else []
    return " ".join(words)


def is_name(name: str) -> bool:
    """Whether a line can be of this name."""
    return re.fullmatch(_NAME, name, re.ASCII) is not None and name[0] != "#"


def _price_words(prices: Prices) -> list[str]:
    words = [f"price={usd_per_million_text(prices.input)}/{usd_per_million_text(prices.output)}"]
    classes = {
        "cache_read": prices.cache_read,
        "cache_write": prices.cache_write,
        "thinking": prices.reasoning,
        "image": prices.image,
        "audio": prices.audio,
    }
    words += [f"{name}={usd_per_million_text(price)}" for name, price in classes.items() if price is not None]
    return [*words, f"request={usd_text(prices.request)}"] if prices.request else words


def _line(text: str, name: str) -> str | None:
    """The line of this name."""
    if not text or " " in name or "\n" in name:
        return None
    start = 0 if text.startswith(f"{name} ") else text.find(f"\n{name} ") + 1
    if start == 0 and not text.startswith(f"{name} "):
        return None
    return text[start : text.index("\n", start)]


def _snapshot(provider: ProviderSettings, model: str) -> TargetSettings | None:
    """What OpenRouter's list says, of OpenRouter's own models and of those of the vendors that it has them from."""
    match provider.kind:
        case ProviderKind.OPENROUTER:
            names = [model]
        case ProviderKind.OPENAI if provider.base_url in {None, _OPENAI}:  # None: by way of another gateway
            names = [f"openai/{model}"]
        case ProviderKind.ANTHROPIC:
            # claude-sonnet-4-5-20250929 there is claude-sonnet-4.5 here
            plain = _DATED.sub("", model)
            names = [f"anthropic/{plain}", f"anthropic/{_VERSION.sub(r'.', plain)}"]
        case _:
            return None
    from common.settings.openrouter_models import MODELS

    line = next((found for name in names if (found := _line(MODELS, name)) is not None), None)
    if line is None:
        return None
    known = read_line(provider.name, model, line)
    if provider.kind is ProviderKind.OPENAI and known.reasoning:
        return replace(known, rename=_NO_MAX_TOKENS)  # OpenRouter takes either name
    return known


def _prices(words: dict[str, str]) -> Prices | None:
    if "price" not in words:
        return None
    input_, _, output = words["price"].partition("/")
    prices = Prices(
        input=usd_per_million(input_),
        output=usd_per_million(output),
        cache_read=_price(words.get("cache_read")),
        cache_write=_price(words.get("cache_write")),
        reasoning=_price(words.get("thinking")),
        image=_price(words.get("image")),
        audio=_price(words.get("audio")),
        request=usd_per_request(words.get("request", "0")),
    )
    return FREE if prices == FREE else prices


def _price(text: str | None) -> int | None:
    return None if text is None else usd_per_million(text)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
