"""How long to wait before the same candidate is asked again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.routing.backoff import (
    FIRST_S,
    LEAST_ATTEMPT_S,
    MOST_S,
    PATIENCE_ALONE_S,
    PATIENCE_S,
    RETRIES,
    pause_s,
)

USUAL: dict[str, Any] = {"spent_s": 0.1, "remaining_s": 60.0, "alone": False}
unit = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 200)


@pytest.mark.parametrize(
    ("attempts", "random", "changes", "expected"),
    [
        pytest.param(1, 0.0, {}, 0.0, id="at once, by luck"),
        pytest.param(1, 0.5, {}, FIRST_S / 2, id="half"),
        pytest.param(2, 0.5, {}, FIRST_S, id="doubled"),
        pytest.param(8, 0.5, {"retries": 9, "alone": True}, MOST_S / 2, id="not for ever"),
        pytest.param(3, 0.5, {}, None, id="the retries are used up"),
        pytest.param(1, 0.5, {"retries": 0}, None, id="no retries wanted"),
        pytest.param(1, 0.0, {"retry_after_s": 2.0}, 2.0, id="as the provider says"),
        pytest.param(
            1, 0.5, {"retry_after_s": 2.0}, 2.0 + FIRST_S / 2, id="never earlier, and not all at once"
        ),
        pytest.param(1, 0.0, {"retry_after_s": 10.0}, None, id="another candidate answers sooner"),
        pytest.param(1, 0.0, {"retry_after_s": 10.0, "alone": True}, 10.0, id="nobody else is there"),
        pytest.param(
            1, 0.0, {"retry_after_s": 3_600.0, "alone": True}, None, id="an absurd wait is an answer"
        ),
        pytest.param(1, 0.0, {"spent_s": 5.0}, None, id="a connection that timed out"),
        pytest.param(1, 0.0, {"remaining_s": 0.5}, None, id="the deadline is near"),
        pytest.param(1, 0.0, {"retry_after_s": 2.0, "remaining_s": 2.9}, None, id="it would be near then"),
        pytest.param(1, 0.0, {"retry_after_s": 0.0}, 0.0, id="zero is no wish"),
    ],
)
def test_cases(attempts: int, random: float, changes: dict[str, Any], expected: float | None) -> None:
    """Full jitter, the provider's wish, patience and deadline."""
    assert pause_s(attempts, random, **USUAL | changes) == expected


circumstances = st.fixed_dictionaries(
    {
        "spent_s": seconds,
        "remaining_s": seconds,
        "alone": st.booleans(),
        "retry_after_s": st.none() | seconds,
        "retries": st.integers(0, 20),
    }
)


@given(st.integers(1, 20), unit, circumstances)
def test_bounds(attempts: int, random: float, given: dict[str, Any]) -> None:
    """A wait is never earlier than asked for, ends within the patience, and leaves time for an attempt."""
    wait = pause_s(attempts, random, **given)
    if wait is None:
        return
    asked_s = given["retry_after_s"] or 0
    assert attempts <= given["retries"]
    assert asked_s <= wait <= asked_s + MOST_S
    assert given["spent_s"] + wait <= (PATIENCE_ALONE_S if given["alone"] else PATIENCE_S)
    assert given["remaining_s"] - wait >= LEAST_ATTEMPT_S - 1e-9


@given(st.lists(unit, min_size=20, max_size=20), st.none() | seconds, st.floats(0, 1))
def test_at_most_four_in_three_seconds(
    draws: list[float], retry_after_s: float | None, took_s: float
) -> None:
    """However a provider refuses, the next candidate is asked after three attempts within the patience."""
    spent_s, attempts = 0.0, 0
    for draw in draws:
        attempts += 1
        spent_s += took_s
        wait = pause_s(
            attempts, draw, spent_s=spent_s, remaining_s=60.0, alone=False, retry_after_s=retry_after_s
        )
        if wait is None:
            break
        spent_s += wait
    assert attempts <= RETRIES + 1
    assert spent_s <= PATIENCE_S + took_s


@given(st.integers(1, 6), st.lists(unit, min_size=2, max_size=2, unique=True))
def test_full_jitter(attempts: int, draws: list[float]) -> None:
    """The wait is spread over all of its span, from nothing on."""
    waits = [pause_s(attempts, draw, **USUAL | {"alone": True, "retries": 9}) for draw in sorted(draws)]
    spans = [FIRST_S * 2 ** (attempts - 1) * draw for draw in sorted(draws)]
    assert waits == [pytest.approx(min(span, MOST_S)) for span in spans] or waits[0] != waits[1]
    assert pause_s(attempts, 0.0, **USUAL | {"retries": 9}) == 0
