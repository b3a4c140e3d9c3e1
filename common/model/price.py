"""Prices as exact integers.

A price is an integer of pico-dollars (1e-12 USD) per token: a decimal of USD per million tokens times 1e6. Up to six
places of that (twelve of USD per token) are exact, and a price with more is refused rather than rounded.
"""

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final

from common.model.usage import Tokens

PICO_PER_NANO: Final = 1_000
LARGEST_TOKEN: Final = 10**10  # $10,000 per million tokens; a price above it was written for another unit
LARGEST_REQUEST: Final = 10**14  # $100


def usd_per_million(text: str) -> int:
    """Pico-dollars per token, of a decimal in USD per million tokens. Raises `ValueError`."""
    return _pico(text, 10**6, LARGEST_TOKEN)


def usd_per_token(text: str) -> int:
    """Pico-dollars per token, of a decimal in USD per token. Raises `ValueError`."""
    return _pico(text, 10**12, LARGEST_TOKEN)


def usd_per_request(text: str) -> int:
    """Pico-dollars per request, of a decimal in USD. Raises `ValueError`."""
    return _pico(text, 10**12, LARGEST_REQUEST)


def usd_per_million_text(pico: int) -> str:
    """A price per token as a decimal in USD per million tokens; exact."""
    return _decimal(pico, 6)


def usd_text(pico: int) -> str:
    """Pico-dollars as a decimal in USD; exact: a price per request, or per token."""
    return _decimal(pico, 12)


def _decimal(number: int, places: int) -> str:
    whole, rest = divmod(number, 10**places)
    fraction = f"{rest:0{places}d}".rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)


def _pico(text: str, scale: int, largest: int) -> int:
    try:
        numerator, denominator = Decimal(text).as_integer_ratio()
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError(f"a price must be a decimal number, not {text!r}") from None
    pico, rest = divmod(numerator * scale, denominator)
    if rest:
        raise ValueError(f"the price {text} is finer than a pico-dollar: round it up")
    if not 0 <= pico <= largest:
        raise ValueError(f"the price {text} is negative or larger than any real one: is its unit right?")
    return pico


@dataclass(frozen=True, slots=True)
class Prices:
    """Pico-dollars per token of each class, and per request. A class without a price costs what it is part of does."""

    input: int
    output: int
    cache_read: int | None = None  # else as input
    cache_write: int | None = None  # else as input
    reasoning: int | None = None  # else as output
    image: int | None = None  # else as input
    audio: int | None = None  # else as the dearer of input and output
    request: int = 0

    each: Tokens = field(init=False, compare=False)  # the price of one token of each class
    text_most: int = field(init=False, compare=False)  # of a token of input, if it is text
    media_most: int = field(init=False, compare=False)  # if it may be anything
    output_most: int = field(init=False, compare=False)  # of a token of output, if it is text
    is_free: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Once per price, for all requests."""
        each = Tokens(
            input=self.input,
            cache_read=_or(self.cache_read, self.input),
            cache_write=_or(self.cache_write, self.input),
            output=self.output,
            reasoning=_or(self.reasoning, self.output),
            image=_or(self.image, self.input),
            audio=_or(self.audio, max(self.input, self.output)),
        )
        text_most = max(each.input, each.cache_read, each.cache_write)
        derived = {
            "each": each,
            "text_most": text_most,
            "media_most": max(text_most, each.image, each.audio),
            "output_most": max(each.output, each.reasoning),
            "is_free": not any(each) and not self.request,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)


def _or(price: int | None, otherwise: int) -> int:
    return otherwise if price is None else price


FREE: Final = Prices(input=0, output=0)
