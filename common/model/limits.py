"""What a principal may use, and what a refusal says. Money is integer nano-dollars (1e-9 USD)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

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

    Each is enforced, or only observed: then it is counted as ever, never refuses, and what it would have refused is
    told. `alerts`: at which percents of its budgets somebody is told.

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
    observed: frozenset[Limit] = field(default=frozenset(), kw_only=True)
    alerts: tuple[int, ...] = field(default=(), kw_only=True)
    binding: Mapping[Limit, int] = field(init=False, repr=False, compare=False)  # those that refuse
    observing: Mapping[Limit, int] = field(init=False, repr=False, compare=False)  # those that are observed

    def __post_init__(self) -> None:
        """Once per principal, for all its requests."""
        for limit in Limit:
            value = self.stated(limit)
            if value is not None and not 0 <= value <= MAX_NANOUSD:
                raise ValueError(
                    f"{limit} must be between 0 and {MAX_NANOUSD} (budgets: $9 million), not {value}"
                )
        stated = {limit: value for limit in Limit if (value := self.stated(limit)) is not None}
        observing = {limit: value for limit, value in stated.items() if limit in self.observed}
        binding = {limit: value for limit in Limit if (value := self.of(limit)) is not None}
        object.__setattr__(self, "binding", binding)
        object.__setattr__(self, "observing", observing)

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is limited, so that nothing has to be counted."""
        return all(self.stated(limit) is None for limit in Limit)

    @property
    def has_budget(self) -> bool:
        """Whether money is limited, and not only observed."""
        budgets = (Limit.BUDGET_DAY, Limit.BUDGET_MONTH, Limit.BUDGET_TOTAL)
        return any(self.stated(limit) is not None and limit not in self.observed for limit in budgets)

    def stated(self, limit: Limit) -> int | None:
        """The value of `limit`, enforced or observed."""
        value: int | None = getattr(self, limit)
        return value

    def of(self, limit: Limit) -> int | None:
        """Above what `limit` refuses. No sum of money may pass `MAX_NANOUSD`: the total is never without a bound."""
        value = None if limit in self.observed else self.stated(limit)
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


class Room(NamedTuple):
    """One limit. `remaining` of it may be asked for now; `reset_ms` from now all of it, if nobody asks meanwhile."""

    limit: int
    remaining: int
    reset_ms: int


class LimitStanding(NamedTuple):
    """How far one limit is used. Nothing is left where more is `used` and `held` than `value`."""

    limit: Limit
    is_enforced: bool  # else it is only observed
    value: int
    used: int  # for good, until it resets
    held: int  # for requests that are running; what they do not use comes back
    remaining: int
    resets_ms: int | None  # from now, when all that is used comes back; None: never, or nothing is but held


class Headroom(NamedTuple):
    """The tighter one of minute and day, for requests and for tokens; None where neither is limited."""

    requests: Room | None
    tokens: Room | None


NO_LIMITS: Final = Headroom(None, None)
