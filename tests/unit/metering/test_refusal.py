"""What a refused caller is told."""

import pytest

from common.metering.refusal import limit_error
from common.model.errors import BudgetExceeded, BudgetInFlight, LimitError, RateLimited, RequestTooLarge
from common.model.limits import Limit, Reason, Refused

DAY = 10**9 // 2

WORDS = [
    (
        Refused(Reason.USED_UP, Limit.REQUESTS_PER_MINUTE, 1_200, 4_001),
        RateLimited,
        "This API key has reached its limit of 1,200 requests per minute. Try again in 5 s.",
    ),
    (
        Refused(Reason.USED_UP, Limit.TOKENS_PER_DAY, 1, 1_000),
        RateLimited,
        "This API key has reached its limit of 1 token per UTC day. Try again in 1 s.",
    ),
    (
        Refused(Reason.IN_FLIGHT, Limit.MAX_PARALLEL, 3, 1_000),
        RateLimited,
        "This API key has reached its limit of 3 requests at a time. Try again in 1 s.",
    ),
    (
        Refused(Reason.USED_UP, Limit.BUDGET_DAY, DAY, 60_000),
        BudgetExceeded,
        "This API key's budget of $0.50 per UTC day is spent; it begins anew in 60 s.",
    ),
    (
        Refused(Reason.USED_UP, Limit.BUDGET_TOTAL, 1_234 * 10**9 + 1, None),
        BudgetExceeded,
        "This API key's budget of $1,234.000000001 in total is spent.",
    ),
    (
        Refused(Reason.IN_FLIGHT, Limit.BUDGET_MONTH, 10**10, 1_000),
        BudgetInFlight,
        "The rest of this API key's budget of $10.00 per UTC month is held for running requests. Try again soon.",
    ),
    (
        Refused(Reason.TOO_LARGE, Limit.TOKENS_PER_MINUTE, 500, None),
        RequestTooLarge,
        "The request is larger than this API key's limit of 500 tokens per minute: shorten it, or lower max_tokens.",
    ),
    (
        Refused(Reason.TOO_LARGE, Limit.REQUESTS_PER_DAY, 0, None),
        RequestTooLarge,
        "This API key's limit of 0 requests per UTC day lets no such request pass.",
    ),
]


@pytest.mark.parametrize(
    ("refused", "error_class", "words"), WORDS, ids=lambda value: getattr(value, "limit", "")
)
def test_words(refused: Refused, error_class: type[LimitError], words: str) -> None:
    """M6: which limit it is, how high, when it has room again, and what can be done."""
    error = limit_error([("key:key_1", refused)])
    assert type(error) is error_class
    assert (error.message, error.limit, error.retry_after_ms) == (
        words,
        refused.limit,
        refused.retry_after_ms,
    )


def test_whose() -> None:
    """M6: a user's limit is told apart from a key's."""
    error = limit_error([("user:key:1", Refused(Reason.USED_UP, Limit.REQUESTS_PER_DAY, 9, 1))])
    assert error.message.startswith("This user has reached its limit")


@pytest.mark.parametrize("turned", [False, True], ids=["key first", "user first"])
@pytest.mark.parametrize(
    ("longer", "shorter"),
    [
        pytest.param(
            Refused(Reason.USED_UP, Limit.BUDGET_DAY, 1, 2_000),
            Refused(Reason.IN_FLIGHT, Limit.MAX_PARALLEL, 1, 1_000),
            id="more time",
        ),
        pytest.param(
            Refused(Reason.USED_UP, Limit.BUDGET_TOTAL, 1, None),
            Refused(Reason.USED_UP, Limit.BUDGET_MONTH, 1, 2 * 10**9),
            id="no time helps",
        ),
        pytest.param(
            Refused(Reason.TOO_LARGE, Limit.TOKENS_PER_MINUTE, 1, None),
            Refused(Reason.USED_UP, Limit.BUDGET_TOTAL, 1, None),
            id="it will never pass",
        ),
    ],
)
def test_of_two(longer: Refused, shorter: Refused, *, turned: bool) -> None:
    """M6: where key and user refuse, the one that makes the caller wait longest is told."""
    refusals = [("key:1", longer), ("user:1", shorter)]
    assert limit_error(refusals[::-1] if turned else refusals).limit is longer.limit
