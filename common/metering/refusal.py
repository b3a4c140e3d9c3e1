"""A refusal in words: which limit, whose, and what to do."""

from collections.abc import Sequence
from typing import Final

from common.model.errors import BudgetExceeded, BudgetInFlight, LimitError, RateLimited, RequestTooLarge
from common.model.limits import Limit, Reason, Refused

MONEY: Final = frozenset({Limit.BUDGET_DAY, Limit.BUDGET_MONTH, Limit.BUDGET_TOTAL})
_NANO: Final = 10**9
_SAID: Final = {
    Limit.REQUESTS_PER_MINUTE: "{value} request{s} per minute",
    Limit.TOKENS_PER_MINUTE: "{value} token{s} per minute",
    Limit.REQUESTS_PER_DAY: "{value} request{s} per UTC day",
    Limit.TOKENS_PER_DAY: "{value} token{s} per UTC day",
    Limit.MAX_PARALLEL: "{value} request{s} at a time",
    Limit.BUDGET_DAY: "${usd} per UTC day",
    Limit.BUDGET_MONTH: "${usd} per UTC month",
    Limit.BUDGET_TOTAL: "${usd} in total",
}


def limit_error(refusals: Sequence[tuple[str, Refused]]) -> LimitError:
    """The error for what rows (`key:...`, `user:...`) refuse: of several the one that makes the caller wait longest."""
    row, refused = max(refusals, key=_patience)
    whose = "API key" if row.startswith("key:") else "user"
    value = refused.value
    limit = _SAID[refused.limit].format(value=f"{value:,}", s="" if value == 1 else "s", usd=_usd(value))
    wait_ms = refused.retry_after_ms
    match refused.reason:
        case Reason.TOO_LARGE if value == 0:
            said = f"This {whose}'s limit of {limit} lets no such request pass."
            cls: type[LimitError] = RequestTooLarge
        case Reason.TOO_LARGE:
            said = f"The request is larger than this {whose}'s limit of {limit}: shorten it, or lower max_tokens."
            cls = RequestTooLarge
        case Reason.IN_FLIGHT if refused.limit in MONEY:
            said = (
                f"The rest of this {whose}'s budget of {limit} is held for running requests. Try again soon."
            )
            cls = BudgetInFlight
        case Reason.USED_UP if refused.limit in MONEY:
            said = f"This {whose}'s budget of {limit} is spent{_until(wait_ms)}."
            cls = BudgetExceeded
        case _:
            said = f"This {whose} has reached its limit of {limit}. Try again in {_seconds(wait_ms)} s."
            cls = RateLimited
    return cls(said, limit=refused.limit, retry_after_ms=wait_ms)


def _patience(refusal: tuple[str, Refused]) -> tuple[bool, bool, int]:
    _, refused = refusal
    return refused.reason is Reason.TOO_LARGE, refused.retry_after_ms is None, refused.retry_after_ms or 0


def _usd(nanousd: int) -> str:
    dollars, rest = divmod(nanousd, _NANO)
    cents = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{dollars:,}.{cents}"


def _seconds(wait_ms: int | None) -> int:
    return -(-(wait_ms or 0) // 1000)


def _until(wait_ms: int | None) -> str:
    return "" if wait_ms is None else f"; it begins anew in {_seconds(wait_ms)} s"
