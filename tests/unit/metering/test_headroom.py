"""What `x-ratelimit-*` tell is what the meter would decide next."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common.metering.headroom import headroom
from common.metering.plan import Plan
from common.model.limits import Headroom, Limits, Reason, Room
from tests.unit.metering.requests import MIDNIGHT, NOON, Row

HISTORY = st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 9)), min_size=1, max_size=8)
RATES = st.builds(
    Limits,
    requests_per_minute=st.none() | st.integers(1, 5),
    tokens_per_minute=st.none() | st.integers(9, 30),
    requests_per_day=st.none() | st.integers(4, 9),
    tokens_per_day=st.none() | st.integers(20, 60),
)
EXACT = settings(derandomize=True, database=None, deadline=None)


def lived(limits: Limits, history: list[tuple[int, int]], start: int) -> tuple[Row, int]:
    """A row after some requests, and the time of the last."""
    row, now = Row(limits), start
    for wait, tokens in history:
        now += wait
        verdict = row.tries(now, 0, tokens)
        if isinstance(verdict, Plan):
            row.writes(verdict)
    return row, now


@given(RATES, HISTORY, st.sampled_from([NOON, MIDNIGHT - 40_000]), st.integers(1, 9))
@EXACT
def test_the_wait_that_is_told_is_exact(
    limits: Limits, history: list[tuple[int, int]], start: int, tokens: int
) -> None:
    """M6: if nobody else comes, a refused request passes at the instant it was told, and not a millisecond before."""
    row, now = lived(limits, history, start)
    refused = row.tries(now, 0, tokens)
    assume(not isinstance(refused, Plan))
    assert not isinstance(refused, Plan)
    assert refused.reason is Reason.USED_UP
    assert refused.retry_after_ms is not None
    assert not isinstance(row.tries(now + refused.retry_after_ms - 1, 0, tokens), Plan)
    assert isinstance(row.tries(now + refused.retry_after_ms, 0, tokens), Plan)


@given(RATES, HISTORY, st.sampled_from([NOON, MIDNIGHT - 40_000]), st.integers(0, 20_000))
@EXACT
def test_what_remains_is_what_the_meter_would_admit(
    limits: Limits, history: list[tuple[int, int]], start: int, later: int
) -> None:
    """M6: as many requests, and a request of as many tokens, and not one more."""
    row, now = lived(limits, history, start)
    now += later
    told = headroom(row.standing, limits, now)
    if told.requests:
        assert isinstance(row.tries(now), Plan) == (told.requests.remaining > 0)
    if told.tokens and not (told.requests and told.requests.remaining == 0):
        assert isinstance(row.tries(now, 0, told.tokens.remaining), Plan)
        assert not isinstance(row.tries(now, 0, told.tokens.remaining + 1), Plan)


@given(RATES, HISTORY)
@EXACT
def test_after_the_reset_all_of_it_may_be_asked_for(limits: Limits, history: list[tuple[int, int]]) -> None:
    """M6: the reset is the first instant at which the limit is untouched."""
    row, now = lived(limits, history, NOON)
    for which in ("requests", "tokens"):
        told: Room | None = getattr(headroom(row.standing, limits, now), which)
        if told and told.reset_ms:
            assert told.remaining < told.limit
            minute = told.limit in {limits.requests_per_minute, limits.tokens_per_minute}
            alone = Limits(requests_per_minute=told.limit, tokens_per_minute=told.limit) if minute else limits
            then: Room | None = getattr(headroom(row.standing, alone, now + told.reset_ms), which)
            assert then
            assert then.remaining == then.limit


def test_a_fresh_principal_has_all_of_it() -> None:
    """Nothing is used, so there is nothing to wait for."""
    limits = Limits(requests_per_minute=60, tokens_per_day=1_000)
    assert headroom(Row().standing, limits, NOON) == Headroom(Room(60, 60, 0), Room(1_000, 1_000, 0))


def test_without_limits_there_is_nothing_to_tell() -> None:
    """No headers are sent for what is unlimited."""
    assert headroom(Row().standing, Limits(budget_day=5), NOON) == Headroom(None, None)


@pytest.mark.parametrize(
    ("per_minute", "per_day", "expected"),
    [(5, 9, Room(5, 4, 70_000)), (9, 5, Room(5, 4, 43_200_000)), (5, 5, Room(5, 4, 43_200_000))],
    ids=["minute", "day", "both, so the longer wait"],
)
def test_the_tighter_of_minute_and_day_is_told(per_minute: int, per_day: int, expected: Room) -> None:
    """OpenAI's headers have room for one limit of requests and one of tokens."""
    row = Row()
    row.admits(NOON)
    limits = Limits(requests_per_minute=per_minute, requests_per_day=per_day)
    assert headroom(row.standing, limits, NOON).requests == expected


def test_an_excess_leaves_nothing_and_not_less() -> None:
    """More was used than the limit: zero remains."""
    row = Row(Limits(tokens_per_minute=10))
    row.settles(row.admits(NOON, 0, 10), 0, 40, NOON)
    assert headroom(row.standing, row.limits, NOON).tokens == Room(10, 0, 70_000)
