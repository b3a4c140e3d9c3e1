"""What an answer says that it used, and whether that is believed."""

import json
from typing import Any

import pytest

from common.metering.usage_check import Evidence, check_usage
from common.model.usage import Tokens
from common.providers.openai import read_answer
from common.providers.openai_usage import content_bytes, reported_cost, reported_usage

NO_COUNTS: list[Any] = [-1, True, 1.0, 1.5, "100", [], {}, 10**18, float("nan")]
NO_AMOUNTS: list[Any] = [None, True, -1, -0.1, "0.1", [], 10**18, 1e300, float("inf"), float("nan")]
ROOM = Evidence(input_bound=2_000, output_max=2_000, input_estimate=100, content_bytes=160)


def usage(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    """A `usage` member."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


def prompt_details(**counts: Any) -> dict[str, Any]:
    """How its prompt was read."""
    return {"prompt_tokens_details": counts}


def completion_details(**counts: Any) -> dict[str, Any]:
    """How its output was made."""
    return {"completion_tokens_details": counts}


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        pytest.param(usage(100, 20), Tokens(input=100, output=20), id="plain"),
        pytest.param(usage(100, 20, total_tokens=120), Tokens(input=100, output=20), id="total"),
        pytest.param(
            usage(100, 20, **prompt_details(cached_tokens=90)), Tokens(10, 90, output=20), id="cached"
        ),
        pytest.param(
            usage(100, 20, **prompt_details(cached_tokens=100)), Tokens(0, 100, output=20), id="all cached"
        ),
        pytest.param(
            usage(100, 20, prompt_tokens_details=None), Tokens(input=100, output=20), id="details null"
        ),
        pytest.param(
            usage(100, 20, **prompt_details(cached_tokens=None)), Tokens(100, output=20), id="cached null"
        ),
        pytest.param(
            usage(100, 20, **prompt_details(cached_tokens=50, cache_write_tokens=30, audio_tokens=5)),
            Tokens(input=15, cache_read=50, cache_write=30, output=20, audio=5),
            id="OpenRouter's classes",
        ),
        pytest.param(
            usage(100, 20, **completion_details(reasoning_tokens=15, audio_tokens=1)),
            Tokens(input=100, output=4, reasoning=15, audio=1),
            id="reasoning",
        ),
    ],
)
def test_believed(said: Any, tokens: Tokens) -> None:
    """Counts that can be true become disjoint classes: what was cached or thought is counted once."""
    checked = check_usage(reported_usage(said), ROOM)
    assert (checked.tokens, checked.estimated) == (tokens, False)
    assert tokens.total == said["prompt_tokens"] + said["completion_tokens"]


@pytest.mark.parametrize(
    "said",
    [
        *(None, {}, [], "x", 5, True, {"prompt_tokens": 5}, {"completion_tokens": 20}, {"input_tokens": 1}),
        *(usage(wrong, 20) for wrong in [None, *NO_COUNTS]),
        *(usage(100, wrong) for wrong in [None, *NO_COUNTS]),
        *(usage(100, 20, **prompt_details(cached_tokens=wrong)) for wrong in [101, *NO_COUNTS]),
        *(usage(100, 20, **prompt_details(cache_write_tokens=wrong)) for wrong in [101, *NO_COUNTS]),
        usage(100, 20, **prompt_details(cached_tokens=60, cache_write_tokens=60)),
        *(usage(100, 20, **completion_details(reasoning_tokens=wrong)) for wrong in [21, *NO_COUNTS]),
        usage(0, 0),
    ],
    ids=repr,
)
def test_not_believed(said: Any) -> None:
    """What is missing, negative, no integer, contradictory or absurd is replaced by an estimate."""
    checked = check_usage(reported_usage(said), ROOM)
    assert checked.estimated
    assert (checked.tokens.input, checked.tokens.output) == (100, 40)


@pytest.mark.parametrize(
    ("said", "nano"),
    [
        (0, 0),
        (1, 10**9),
        (0.00095, 950_000),
        (1e-9, 1),
        (1.5e-9, 2),
        (1e-12, 1),
        (0.1 + 0.2, 300_000_001),
        *((wrong, None) for wrong in NO_AMOUNTS),
    ],
    ids=repr,
)
def test_cost(said: Any, nano: int | None) -> None:
    """OpenRouter's own cost in nano-dollars, rounded up; None where it is no amount."""
    assert reported_cost({"cost": said}) == nano


def test_no_cost() -> None:
    """Most providers say none."""
    silent: list[Any] = [None, {}, [], "x", {"prompt_tokens": 1}]
    assert {reported_cost(said) for said in silent} == {None}


@pytest.mark.parametrize(
    ("message", "size"),
    [
        ({"content": "Hello."}, 6),
        ({"content": "é😀"}, 6),
        ({"content": "\ud800"}, 3),
        ({"content": None, "refusal": "No."}, 3),
        ({"content": "a", "reasoning": "bb", "reasoning_content": "ccc"}, 6),
        (
            {
                "tool_calls": [
                    {"function": {"name": "f", "arguments": "{}"}},
                    {"function": {"arguments": "[1]"}},
                ]
            },
            5,
        ),
        ({"tool_calls": [None, {}, {"function": None}, {"function": {"arguments": 5}}]}, 0),
        ({"content": [{"type": "text", "text": "x"}]}, 0),
        (None, 0),
    ],
    ids=repr,
)
def test_content_bytes(message: Any, size: int) -> None:
    """How long the text of an answer is, whatever kind of text it is."""
    assert content_bytes([{"message": message}, {"message": message}]) == 2 * size
    assert read_answer(json.dumps({"choices": [{"message": message}]}).encode()).content_bytes == size


@pytest.mark.parametrize(
    "choices", [None, {}, [None], [5], [{}], [{"message": 5}], [{"message": {"tool_calls": 5}}]]
)
def test_no_content(choices: Any) -> None:
    """What is no answer has no content, and is no reason to fail."""
    assert content_bytes(choices) == 0
