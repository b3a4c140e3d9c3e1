"""How many retries a provider gets."""

from hypothesis import given
from hypothesis import strategies as st

from common.routing.retry_budget import FLOOR, SHARE, WINDOW_S, RetryBudget, requested, retried

NOW_MS = 1_790_000_000_000
# what happens: after how many milliseconds, how many requests, how many retries are asked for
steps = st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 200), st.integers(0, 60)), max_size=60)


def taken(budget: RetryBudget, now_ms: int, asked: int) -> tuple[RetryBudget, int]:
    """As many as are allowed of so many that are asked for."""
    for count in range(asked):
        after = retried(budget, now_ms)
        if after is None:
            return budget, count
        budget = after
    return budget, asked


def test_floor() -> None:
    """The least of gateways has some few retries, and as many again when these are forgotten."""
    budget, count = taken(RetryBudget(), NOW_MS, 1_000)
    assert count == FLOOR
    assert retried(budget, NOW_MS + 1_000) is None
    _, later = taken(budget, NOW_MS + 10 * round(WINDOW_S * 1000), 1_000)
    assert later == FLOOR - 1  # the last of a hundred-thousandth is not forgotten


def test_share() -> None:
    """Much traffic has a tenth of it."""
    budget = requested(RetryBudget(), NOW_MS, 5_000)
    _, count = taken(budget, NOW_MS, 5_000)
    assert count == 5_000 * SHARE


def test_silence_earns_nothing() -> None:
    """Requests of long ago allow no retries now."""
    budget = requested(RetryBudget(), NOW_MS, 5_000)
    _, count = taken(budget, NOW_MS + 20 * round(WINDOW_S * 1000), 5_000)
    assert count == FLOOR


@given(steps)
def test_never_more_than_allowed(happens: list[tuple[int, int, int]]) -> None:
    """Whatever comes in whatever order, retries stay under the floor of their time and a tenth of the requests."""
    budget, now_ms, requests, retries = RetryBudget(), NOW_MS, 0, 0
    budget = requested(budget, now_ms, 0)
    for pause_ms, more, asked in happens:
        now_ms += pause_ms
        requests += more
        budget = requested(budget, now_ms, more)
        budget, count = taken(budget, now_ms, asked)
        retries += count
        windows = (now_ms - NOW_MS) / (WINDOW_S * 1000)
        assert retries <= FLOOR * (1 + windows) + SHARE * requests + 1e-6


@given(steps)
def test_recovers(happens: list[tuple[int, int, int]]) -> None:
    """Whatever has been, with little asked for the floor is there again after some windows."""
    budget, now_ms = RetryBudget(), NOW_MS
    for pause_ms, more, asked in happens:
        now_ms += pause_ms
        budget, _ = taken(requested(budget, now_ms, more), now_ms, asked)
    _, count = taken(budget, now_ms + round(10 * WINDOW_S * 1000), 100)
    assert count >= FLOOR - 1


@given(st.integers(-100_000, 0))
def test_clock_set_back(step_ms: int) -> None:
    """A clock that goes back neither earns nor forgets."""
    budget = requested(RetryBudget(), NOW_MS, 1_000)
    _, count = taken(budget, NOW_MS + step_ms, 1_000)
    assert count == 1_000 * SHARE
    assert retried(taken(budget, NOW_MS, 1_000)[0], NOW_MS + step_ms) is None
