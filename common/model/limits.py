"""What a principal may use, and what a refusal says. Money is integer nano-dollars (1e-9 USD)."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

# $9 million: the last whole million below 2^53, where D1's numbers end
MAX_NANOUSD: Final = 9_000_000 * 10**9


class Limit(StrEnum):
    """Every limit there is, by its name in `Limits`."""

    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"
    REQUESTS_PER_DAY = "requests_per_day"
    TOKENS_PER_DAY = "tokens_per_day"
    MAX_PARALLEL = "max_parallel"
    BUDGET_DAY = "budget_day"
    BUDGET_MONTH = "budget_month"
    BUDGET_TOTAL = "budget_total"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one principal; None is unlimited. Days and months are UTC.

    Raises `ValueError` for a negative limit and for one above `MAX_NANOUSD`.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    max_parallel: int | None = None  # requests that are admitted and not settled
    budget_day: int | None = None  # nano-dollars, as the other two
    budget_month: int | None = None
    budget_total: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not 0 <= value <= MAX_NANOUSD:
                raise ValueError(
                    f"{field.name} must be between 0 and {MAX_NANOUSD} (budgets: $9 million), not {value}"
                )

    @property
    def has_budget(self) -> bool:
        """Whether money is limited."""
        return any(each is not None for each in (self.budget_day, self.budget_month, self.budget_total))

    def of(self, limit: Limit) -> int | None:
        """The value of `limit`. No sum of money may pass `MAX_NANOUSD`, so the total is never without a bound."""
        value: int | None = getattr(self, limit)
        return MAX_NANOUSD if value is None and limit is Limit.BUDGET_TOTAL else value


UNLIMITED: Final = Limits()


class Reason(StrEnum):
    """Why a limit refuses."""

    USED_UP = "used_up"  # room comes when the window moves or the period ends
    IN_FLIGHT = (
        "in_flight"  # room comes when other requests finish: parallel ones, or money that is merely held
    )
    TOO_LARGE = "too_large"  # the request is larger than the limit itself: it will never pass


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal, by the limit that makes the caller wait longest."""

    reason: Reason
    limit: Limit
    value: int  # of the limit
    retry_after_ms: int | None  # the earliest time at which it may pass; None: waiting does not help


@dataclass(frozen=True, slots=True)
class Room:
    """One limit. `remaining` of it may be asked for now; `reset_ms` from now all of it, if nobody asks meanwhile."""

    limit: int
    remaining: int
    reset_ms: int


@dataclass(frozen=True, slots=True)
class Headroom:
    """The tighter one of minute and day, for requests and for tokens; None where neither is limited."""

    requests: Room | None
    tokens: Room | None
