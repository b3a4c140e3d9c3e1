"""When a record's providers are asked, and what it becomes by what they say."""

from dataclasses import replace
from datetime import timedelta

import pytest

from common.gateway.reconciliation import EVERY, GIVE_UP_AFTER, is_due, reconciled
from common.model.usage import Booked, Bounds, CountedIn, Outcome, Tokens, UsageRecord
from common.providers.generation import Generation
from tests.support.records import ANSWERED, UNSENT, misbooked, usage_record

AWAITING = replace(
    ANSWERED,
    ended="cancelled",
    booked=Booked.HOLD,
    tokens=Tokens(input=100, output=10),
    cost_nanousd=9_000_000,
    awaits=Bounds(400, 200),
)


def record(*route: object) -> UsageRecord:
    """A record of these attempts, as it was booked; those that await nothing said that they charge 1,000."""
    cost_told = 1_000 * sum(each.awaits is None for each in route) or None  # type: ignore[attr-defined]
    plain = replace(
        usage_record(1),
        route=route,  # type: ignore[arg-type]
        estimated=True,
        awaiting=CountedIn.KEY,
        provider_cost_nanousd=cost_told,
    )
    tokens = [Tokens(*map(sum, zip(*(each.tokens for each in plain.route), strict=True)))]
    cost = sum(each.cost_nanousd for each in plain.route)
    return replace(plain, tokens=tokens[0], cost_nanousd=cost, outcome=Outcome.CANCELLED)


def told(prompt: int, completion: int, cost: int | None = 77) -> Generation:
    """What a provider says."""
    usage = {"input": prompt, "output": completion, "total": prompt + completion}
    return Generation(usage, cost)


def test_one_attempt() -> None:
    """Tokens and cost are by what was told, with the prices of the record; nothing else changes."""
    before = record(AWAITING)
    after = reconciled(before, {0: told(110, 20)})
    assert misbooked(after) is None
    assert (after.tokens, after.estimated, after.awaiting) == (Tokens(input=110, output=20), False, None)
    assert after.provider_cost_nanousd == 77
    assert (after.route[0].booked, after.route[0].awaits, after.route[0].ended) == (
        Booked.USAGE,
        None,
        "cancelled",
    )
    assert replace(
        after, route=before.route, tokens=before.tokens, cost_nanousd=before.cost_nanousd
    ) == replace(before, estimated=False, awaiting=None, provider_cost_nanousd=77)


def test_attempts_that_await_nothing_stay() -> None:
    """In a route, only what is awaited changes, each by what was told of it."""
    before = record(AWAITING, UNSENT, replace(AWAITING, provider_request_id="gen-2"), ANSWERED)
    after = reconciled(before, {0: told(1, 10), 2: told(2, 20)})
    assert misbooked(after) is None
    assert [attempt.tokens.input for attempt in after.route] == [1, 0, 2, ANSWERED.tokens.input]
    assert after.route[3] == ANSWERED
    assert after.provider_cost_nanousd == 2_000 + 2 * 77


@pytest.mark.parametrize("heard", [{}, {0: told(1, 10)}], ids=["of none", "of one of two"])
def test_given_up(heard: dict[int, Generation]) -> None:
    """What nobody told stays booked, and the record awaits nothing any more."""
    before = record(AWAITING, AWAITING)
    after = reconciled(before, heard)
    assert misbooked(after) is None
    assert (after.awaiting, after.estimated) == (None, True)
    assert after.route[1] == replace(AWAITING, awaits=None)
    assert (after.route[0].booked is Booked.USAGE) == (0 in heard)


def test_without_prices() -> None:
    """Where nobody has said what it costs, it costs nothing; its tokens and the provider's figure are kept."""
    after = reconciled(
        record(replace(AWAITING, prices=None, request_price=0, booked=Booked.ESTIMATE, cost_nanousd=0)),
        {0: told(110, 20)},
    )
    assert (after.cost_nanousd, after.tokens.output, after.provider_cost_nanousd) == (0, 20, 77)


@pytest.mark.parametrize(
    ("completion", "believed"), [(314, True), (315, False), (0, True)], ids=["most", "more", "nothing came"]
)
def test_bounds(completion: int, *, believed: bool) -> None:
    """Output is believed as usage in an answer is: to 1.25 x what was held, and 64 more."""
    after = reconciled(record(AWAITING), {0: told(100, completion)})
    assert (after.route[0].booked is Booked.USAGE) == believed
    assert (after.cost_nanousd != AWAITING.cost_nanousd) == believed


def test_less_than_was_seen() -> None:
    """16 times as much output was seen: no usage that can be true."""
    seen = replace(AWAITING, tokens=Tokens(input=100, output=160))
    assert reconciled(record(seen), {0: told(100, 9)}).estimated
    assert not reconciled(record(seen), {0: told(100, 10)}).estimated


def test_due() -> None:
    """At each run in the first hour, then once in each hour, and when it is given up."""
    runs = [EVERY * number for number in range(1, 500)]
    due = [age for age in runs if is_due(age)]
    early = [age for age in due if age < timedelta(hours=1)]
    assert len(early) == 11
    hours = {age // timedelta(hours=1) for age in due if timedelta(hours=1) <= age < GIVE_UP_AFTER}
    assert hours == set(range(1, 24))
    assert len([age for age in due if timedelta(hours=1) <= age < GIVE_UP_AFTER]) == 23
    assert all(is_due(age) for age in runs if age >= GIVE_UP_AFTER)
