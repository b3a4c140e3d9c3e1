"""How long an attempt may take, by who is left to turn to."""

from itertools import product
from typing import Any

import pytest

from common.gateway.pace import STALL_S, WHOLE_S, Pace, Paces, asks_reasoning
from common.settings import RoutingSettings, ServerSettings

SERVER = ServerSettings(first_byte_timeout_s=300, idle_timeout_s=120)
PACES = Paces(SERVER, RoutingSettings(first_token_timeout_s=12, slow_first_token_timeout_s=100))


def told(pace: Pace) -> tuple[float, float, float | None]:
    """Seconds to the first byte, between two pieces, and to the first content."""
    return pace.timeouts.first_byte_s, pace.timeouts.idle_s, pace.first_content_s


@pytest.mark.parametrize(
    ("streamed", "alone", "reasoning", "resumable", "seconds"),
    [
        pytest.param(True, False, False, False, (300, 120, 12), id="another one is left"),
        pytest.param(True, False, False, True, (300, STALL_S, 12), id="and could go on in the middle"),
        pytest.param(True, True, False, False, (300, 120, 100), id="nobody is left"),
        pytest.param(True, False, True, True, (300, 120, 100), id="a model that thinks"),
        pytest.param(False, False, False, False, (WHOLE_S, 120, None), id="in one piece"),
        pytest.param(False, True, False, False, (300, 120, None), id="in one piece, nobody is left"),
        pytest.param(False, False, True, False, (300, 120, None), id="in one piece, it thinks"),
    ],
)
def test_pace(
    seconds: tuple[float, float, float | None],
    *,
    streamed: bool,
    alone: bool,
    reasoning: bool,
    resumable: bool,
) -> None:
    """Who has another candidate behind it gets less time, unless it thinks."""
    pace = PACES.of(streamed=streamed, alone=alone, reasoning=reasoning, resumable=resumable)
    assert told(pace) == seconds


def test_a_splice_has_no_first_content() -> None:
    """It says nothing new until it has repeated what was said: a silence ends it, and nothing else."""
    assert told(PACES.splice) == (300, STALL_S, None)


def test_shorter_settings_stay() -> None:
    """What is configured to be shorter than our own limits is not made longer, in no case."""
    server = ServerSettings(first_byte_timeout_s=5, idle_timeout_s=3)
    paces = Paces(server, RoutingSettings())
    for streamed, alone, reasoning, resumable in product([True, False], repeat=4):
        pace = paces.of(streamed=streamed, alone=alone, reasoning=reasoning, resumable=resumable)
        assert (pace.timeouts.first_byte_s, pace.timeouts.idle_s) == (5, 3)


@pytest.mark.parametrize(
    ("body", "asks"),
    [
        ({}, False),
        ({"reasoning_effort": "high"}, True),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "minimal"}, False),
        ({"reasoning_effort": None}, False),
        ({"reasoning": {"effort": "low"}}, True),
        ({"reasoning": {"effort": "none"}}, False),
        ({"reasoning": {"max_tokens": 2_000}}, True),
        ({"reasoning": {"enabled": True}}, True),
        ({"reasoning": {"enabled": False, "effort": "high"}}, False),
        ({"reasoning": {}}, False),
        ({"reasoning": "high"}, True),
        ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, True),
        ({"thinking": None}, False),
    ],
    ids=str,
)
def test_asks_reasoning(body: dict[str, Any], asks: bool) -> None:  # noqa: FBT001
    """In whichever spelling."""
    assert asks_reasoning(body) is asks
