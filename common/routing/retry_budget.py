"""How many retries a provider may be sent, so that they never finish off one that struggles. Pure.

Requests and retries are counted, and forgotten with time (to 1/e in `WINDOW_S`). A retry is allowed while, with it,

    retries <= max(FLOOR, SHARE x requests)

So from any start and in any time T, whoever fails, and however often it is asked for, a provider gets at most
FLOOR x (1 + T / WINDOW_S) + SHARE x requests retries: some few for the least of gateways, else a tenth.

A request is the first attempt at the provider for one call, and a retry any further one there.
"""

from dataclasses import dataclass
from math import exp
from typing import Final

FLOOR: Final = 10.0  # retries in a window
SHARE: Final = 0.1  # of the requests
WINDOW_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """Of one provider: decayed counts, as they were at `counted_ms`."""

    requests: float = 0.0
    retries: float = 0.0
    counted_ms: int = 0


def requested(budget: RetryBudget, now_ms: int, requests: int) -> RetryBudget:
    """With so many more requests."""
    kept = _kept(budget, now_ms)
    return RetryBudget(budget.requests * kept + requests, budget.retries * kept, now_ms)


def retried(budget: RetryBudget, now_ms: int) -> RetryBudget | None:
    """With one more retry; None: it is not allowed."""
    kept = _kept(budget, now_ms)
    requests, retries = budget.requests * kept, budget.retries * kept + 1
    return RetryBudget(requests, retries, now_ms) if retries <= max(FLOOR, SHARE * requests) else None


def _kept(budget: RetryBudget, now_ms: int) -> float:
    """A clock that was set back forgets nothing."""
    return exp(min(0, budget.counted_ms - now_ms) / (WINDOW_S * 1000))
