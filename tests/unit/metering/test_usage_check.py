"""Usage that cannot be true is replaced by an estimate within what was held; a plausible excess is believed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metering.usage_check import Checked, Evidence, check_usage
from common.model.usage import Tokens

SEEN = Evidence(input_bound=1_000, output_max=500, input_estimate=200, content_bytes=400, content_events=90)
ESTIMATE = Checked(Tokens(input=200, output=100), estimated=True)


@pytest.mark.parametrize(
    "reported",
    [
        None,
        {},
        {"input": 180},
        {"output": 100},
        {"input": -1, "output": 100},
        {"input": 180, "output": -100},
        {"input": 180, "output": 100, "cache_read": -20},
        {"input": 180.5, "output": 100},
        {"input": 180.0, "output": 100},
        {"input": "180", "output": "100"},
        {"input": True, "output": 100},
        {"input": None, "output": 100},
        {"input": [180], "output": {"n": 100}},
        {"input": 180, "output": 100, "total": 281},
        {"input": 180, "output": 100, "total": "280"},
        {"input": 180, "output": 0},
        {"input": 180, "output": 24},
        {"input": 180, "output": 10**12},
        {"input": 10**12, "output": 100},
        {"input": 180, "cache_read": 2**70, "output": 100},
        {"input": 180, "output": 100, "reasoning": 10_000},
        {"input": 180, "output": 100, "audio": 10_000},
    ],
    ids=repr,
)
def test_usage_that_cannot_be_true_is_replaced(reported: dict[str, Any] | None) -> None:
    """Missing, negative, fractional, a string, contradictory or absurd: not a part of it is believed."""
    assert check_usage(reported, SEEN) == ESTIMATE


@pytest.mark.parametrize(
    ("reported", "tokens"),
    [
        ({"input": 180, "output": 100}, Tokens(180, output=100)),
        ({"input": 180, "output": 100, "total": 280}, Tokens(180, output=100)),
        ({"input": 0, "output": 25}, Tokens(output=25)),
        ({"input": 10, "cache_read": 170, "output": 60, "reasoning": 300}, Tokens(10, 170, 0, 60, 300)),
        ({"input": 180, "output": 689}, Tokens(180, output=689)),
        ({"input": 1_314, "output": 100}, Tokens(1_314, output=100)),
        ({"input": 180, "output": 0, "audio": 50}, Tokens(180, audio=50)),
    ],
    ids=repr,
)
def test_usage_that_can_be_true_is_believed(reported: dict[str, Any], tokens: Tokens) -> None:
    """Up to where a stream would have been cut: what is above the hold is an overrun, not a lie."""
    assert check_usage(reported, SEEN) == Checked(tokens, estimated=False)


def test_an_excess_is_checked_against_the_bytes_received() -> None:
    """A provider that ignores the maximum is believed as far as what it sent can be that many tokens."""
    seen = Evidence(input_bound=100, output_max=10, input_estimate=25, content_bytes=4_000)
    assert check_usage({"input": 20, "output": 1_000}, seen).tokens.output == 1_000
    assert check_usage({"input": 20, "output": 4_065}, seen) == Checked(Tokens(25, output=10), estimated=True)


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)


@given(st.dictionaries(st.sampled_from(["input", "output", "cache_read", "total", "audio", "x"]), JSON))
@settings(derandomize=True, database=None, deadline=None)
def test_whatever_is_reported_the_result_is_bounded(reported: dict[str, object]) -> None:
    """M2: no report credits, and none costs more than the bounds let it."""
    checked = check_usage(reported, SEEN)
    assert all(getattr(checked.tokens, name) >= 0 for name in ("input", "output", "cache_read", "audio"))
    assert checked.tokens.total <= 1_314 + 689
    if checked.estimated:
        assert checked.tokens.input <= SEEN.input_bound
        assert checked.tokens.output <= SEEN.output_max


def test_events_are_evidence_too() -> None:
    """A stream whose content is short in bytes has as many tokens as its events tell, from below one to sixteen."""
    seen = Evidence(
        input_bound=1_000, output_max=500, input_estimate=200, content_bytes=0, content_events=160
    )
    assert check_usage({"input": 180, "output": 9}, seen) == Checked(Tokens(200, output=160), estimated=True)
    assert not check_usage({"input": 180, "output": 10}, seen).estimated
