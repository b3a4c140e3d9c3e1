"""What a request cost, and the most that it can cost, in integer nano-dollars.

A cost is one sum of integer products in pico-dollars, rounded up once: at most 999 pico-dollars too
high, never too low.
"""

from collections.abc import Iterable, Sequence
from operator import mul
from typing import NamedTuple

from common.model.price import PICO_PER_NANO, Prices
from common.model.usage import Tokens


def cost(prices: Prices, tokens: Tokens) -> int:
    """Nano-dollars, rounded up."""
    return _nano(prices.request + sum(map(mul, prices.each, tokens)))


class InputBound(NamedTuple):
    """The most tokens that an input can be: of text, and of what is not text."""

    text: int
    media: int

    @property
    def total(self) -> int:
        """Both."""
        return self.text + self.media


def input_bound(
    text_bytes: int, messages: int, *, tools: bool, media: Sequence[int | None], context_length: int | None
) -> InputBound | None:
    """The bound of an input, which is part of the trust boundary; None where there is none.

    A token of text has at least one byte, a provider's template at most 64 tokens per message and 1,024 for tools.
    `media` has the most tokens that the catalog knows for each part that is not text; None: as many as fit the context.
    """
    text = text_bytes + 64 * messages + (1_024 if tools else 0)
    if not media:
        return InputBound(text if context_length is None else min(text, context_length), 0)
    parts = [context_length if part is None else part for part in media]
    if None in parts:
        return None
    most = sum(part for part in parts if part is not None)
    if context_length is None:
        return InputBound(text, most)
    most = min(most, context_length)
    return InputBound(min(text, context_length - most), most)


def input_pico(prices: Prices, bound: InputBound) -> int:
    """The most that an input can cost, with the price of the request itself, in pico-dollars."""
    return prices.request + bound.text * prices.text_most + bound.media * prices.media_most


def output_pico(prices: Prices, *, audio: bool) -> int:
    """The most that a token of output can cost, in pico-dollars; `audio`: whether the answer may be spoken."""
    return max(prices.output_most, prices.each.audio) if audio else prices.output_most


def worst_case(candidates: Iterable[Prices], bound: InputBound, output: int, *, audio: bool = False) -> int:
    """Nano-dollars to hold for one attempt at whichever candidate is dearest; `output` is of all choices together."""
    dearest = max(
        [input_pico(prices, bound) + output * output_pico(prices, audio=audio) for prices in candidates]
    )
    return _nano(dearest)


def _nano(pico: int) -> int:
    return -(-pico // PICO_PER_NANO)
