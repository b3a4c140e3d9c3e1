"""Prices and costs: exact, rounded up once, never above what was held for the worst case."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metering.price import (
    InputBound,
    cost,
    input_bound,
    input_pico,
    output_pico,
    worst_case,
)
from common.model.price import Prices, usd_per_million, usd_per_request, usd_per_token
from common.model.usage import Tokens

EXACT = settings(derandomize=True, database=None, deadline=None)
COUNTS = st.integers(0, 10**7)
PRICE = st.integers(0, 10**9)
PRICES = st.builds(
    Prices,
    input=PRICE,
    output=PRICE,
    cache_read=st.none() | PRICE,
    cache_write=st.none() | PRICE,
    reasoning=st.none() | PRICE,
    image=st.none() | PRICE,
    audio=st.none() | PRICE,
    request=PRICE,
)


@pytest.mark.parametrize(
    ("per_million", "per_token", "pico"),
    [
        ("0.15", "0.00000015", 150_000),
        ("0.075", "0.000000075", 75_000),
        ("0.000001", "0.000000000001", 1),
        ("600", "0.0006", 600_000_000),
        ("0", "0", 0),
        ("1e1", "1E-5", 10_000_000),
    ],
)
def test_a_price_is_read_exactly_in_either_unit(per_million: str, per_token: str, pico: int) -> None:
    """A decimal of USD becomes a whole number of pico-dollars, without a float in between."""
    assert usd_per_million(per_million) == usd_per_token(per_token) == pico


def test_a_price_per_request_may_be_larger_than_one_per_token() -> None:
    """A search may cost cents."""
    assert usd_per_request("0.035") == 35 * 10**9


@pytest.mark.parametrize(
    "text", ["-1", "NaN", "Infinity", "", "free", "0.0000001", "10000.01", "1" * 40, "0." + "3" * 40]
)
def test_a_price_that_cannot_be_meant_is_refused(text: str) -> None:
    """Negative, no number, finer than a pico-dollar, or of another unit: it would poison what is spent."""
    with pytest.raises(ValueError, match="price"):
        usd_per_million(text)


@given(st.integers(0, 10**10))
@EXACT
def test_every_price_of_six_places_is_exact(pico: int) -> None:
    """Reading what was written gives the same number."""
    assert usd_per_million(str(Decimal(pico).scaleb(-6))) == pico


@given(PRICES, st.builds(Tokens, *[COUNTS] * 7))
@EXACT
def test_a_cost_is_rounded_up_once(prices: Prices, tokens: Tokens) -> None:
    """It is the least whole number of nano-dollars that is not below the exact sum."""
    pairs = zip(prices.each, tokens, strict=True)
    exact = (sum(Fraction(price) * count for price, count in pairs) + prices.request) / 1000
    assert exact <= cost(prices, tokens) < exact + 1


def test_each_class_has_its_price() -> None:
    """Cached input is not billed twice: the classes are disjoint."""
    prices = Prices(input=1_000, output=10_000, cache_read=100, reasoning=20_000)
    tokens = Tokens(input=5, cache_read=40, cache_write=3, output=2, reasoning=1)
    assert cost(prices, tokens) == 5 + 4 + 3 + 20 + 20
    assert tokens.total == 51


def test_a_class_without_a_price_costs_what_it_is_part_of_does() -> None:
    """And spoken tokens the dearer of input and output, as both can be spoken."""
    assert Prices(2, 9).each == Tokens(2, 2, 2, 9, 9, 2, 9)
    assert Prices(9, 2).each.audio == 9


@given(
    st.lists(PRICES, min_size=1, max_size=3),
    st.data(),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
@EXACT
def test_no_usage_within_the_bounds_costs_more_than_was_held(
    candidates: list[Prices], data: st.DataObject, text: int, media: int, output: int
) -> None:
    """M2: whichever candidate serves, and into whichever classes it divides what it read and wrote."""
    prices = data.draw(st.sampled_from(candidates))
    shares = [data.draw(st.integers(0, most)) for most in (text, media, output)]
    read, image, visible = shares
    cached = data.draw(st.integers(0, read))
    tokens = Tokens(
        input=read - cached,
        cache_write=cached,
        image=image,
        audio=media - image,
        output=visible,
        reasoning=output - visible,
    )
    assert cost(prices, tokens) <= worst_case(candidates, InputBound(text, media), output)


def test_an_answer_that_may_be_spoken_is_held_at_that_price() -> None:
    """M2: only then, or a text would be held at many times its price."""
    prices = Prices(input=1_000, output=2_000, audio=9_000)
    assert (output_pico(prices, audio=False), output_pico(prices, audio=True)) == (2_000, 9_000)
    assert input_pico(prices, InputBound(text=3, media=0)) == 3_000
    assert input_pico(prices, InputBound(text=3, media=2)) == 21_000


@pytest.mark.parametrize(
    ("text", "tools", "media", "context", "bound"),
    [
        (100, 0, [], 10_000, InputBound(228, 0)),
        (100, 1, [], 10_000, InputBound(1_252, 0)),
        (100, 0, [500, 700], 10_000, InputBound(228, 1_200)),
        (100, 0, [500, None], 10_000, InputBound(0, 10_000)),
        (100, 0, [500, None], None, None),
        (100, 0, [500], None, InputBound(228, 500)),
        (9_900, 0, [], 10_000, InputBound(10_000, 0)),
        (9_900, 0, [500], 10_000, InputBound(9_500, 500)),
        (9_900, 0, [], None, InputBound(10_028, 0)),
    ],
)
def test_an_input_is_bounded_by_its_bytes_and_the_context(
    text: int, tools: int, media: list[int | None], context: int | None, bound: InputBound | None
) -> None:
    """The trust boundary of the README; what is not text is dearer, so it is what fills the context first."""
    assert input_bound(text, 2, tools=bool(tools), media=media, context_length=context) == bound
