"""The limits as they bind one ask, each as `row[attribute] + beside + asked <= value`, and their refusals."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from common.metering.budget import PERIODS, spent
from common.metering.plan import Draft
from common.metering.standing import (
    COMMITTED_DAY,
    COMMITTED_MONTH,
    COMMITTED_TOTAL,
    DAY_REQUESTS,
    DAY_TOKENS,
    IN_FLIGHT,
)
from common.metering.window import (
    COUNTED,
    REQUESTS,
    RING,
    SUB_WINDOW,
    SUB_WINDOW_MS,
    TOKENS,
    next_day,
    next_month,
    used,
)
from common.model.limits import Limit, Limits, Reason, Refused

WAIT_FOR_OTHERS_MS: Final = 1_000


class Asked(NamedTuple):
    """How much is asked of the limits; money in nano-dollars, of each period."""

    requests: int
    tokens: int
    day: int
    month: int
    total: int


def asked_of(tokens: int, cost_nanousd: int) -> Asked:
    """What an admission asks."""
    return Asked(1, tokens, cost_nanousd, cost_nanousd, cost_nanousd)


COUNTED_IN: Final[Mapping[Limit, tuple[int, str, tuple[str, ...]]]] = {
    Limit.REQUESTS_PER_MINUTE: (0, "", REQUESTS),
    Limit.TOKENS_PER_MINUTE: (1, "", TOKENS),
    Limit.REQUESTS_PER_DAY: (0, DAY_REQUESTS, ()),
    Limit.TOKENS_PER_DAY: (1, DAY_TOKENS, ()),
    Limit.MAX_PARALLEL: (0, IN_FLIGHT, ()),
    Limit.BUDGET_DAY: (2, COMMITTED_DAY, ()),
    Limit.BUDGET_MONTH: (3, COMMITTED_MONTH, ()),
    Limit.BUDGET_TOTAL: (4, COMMITTED_TOTAL, ()),
}
"""Which part of `Asked` a limit takes, and the attribute of a row that it bounds, or the ring of them."""


def enforce(draft: Draft, limits: Limits, asked: Asked, now_ms: int) -> Refused | None:
    """Refuse, or guard that the row has room for the ask whatever became of it since it was seen.

    A limit of which nothing is asked does not bind: a free answer is given whatever was overrun.
    """
    counts = draft.counts
    bounds: dict[str, int] = {}
    failed = []
    for limit, value in limits.binding.items():
        part, attribute, ring = COUNTED_IN[limit]
        amount = asked[part]
        if not amount:
            continue
        most = value - amount
        if ring:
            attribute, beside = _newest(draft, ring)
            most -= beside
        elif attribute is IN_FLIGHT:
            most += len(draft.swept)
        if counts[attribute] <= most:
            bounds[attribute] = most
        else:
            failed.append(_refused(draft, limit, value, amount, now_ms))
    draft.bound(bounds)
    return max(failed, key=_patience, default=None)


def _newest(draft: Draft, ring: tuple[str, ...]) -> tuple[str, int]:
    """The count of a window that may have grown since it was seen, and what counts beside it."""
    newest = ring[draft.standing.counts[SUB_WINDOW] % RING]
    return newest, used(draft.counts, ring, draft.index) - draft.counts[newest]


def _patience(refused: Refused) -> tuple[bool, bool, int]:
    """All limits must have room, so the one that takes longest tells when; one that never will, before all."""
    return refused.reason is Reason.TOO_LARGE, refused.retry_after_ms is None, refused.retry_after_ms or 0


def _refused(draft: Draft, limit: Limit, value: int, asked: int, now_ms: int) -> Refused:
    if asked > value:
        return Refused(Reason.TOO_LARGE, limit, value, None)
    if limit is Limit.MAX_PARALLEL or _merely_held(draft, limit, value - asked, now_ms):
        return Refused(Reason.IN_FLIGHT, limit, value, WAIT_FOR_OTHERS_MS)
    frees = _frees(draft, limit, value - asked)
    return Refused(Reason.USED_UP, limit, value, None if frees is None else frees * SUB_WINDOW_MS - now_ms)


def _merely_held(draft: Draft, limit: Limit, room: int, now_ms: int) -> bool:
    """Whether a budget would have room if all that is held came back."""
    return any(period.limit is limit and spent(draft, period, now_ms) <= room for period in PERIODS)


def _frees(draft: Draft, limit: Limit, room: int) -> int | None:
    """The sub-window in which there is room again if nobody else is admitted; None: never."""
    match limit:
        case Limit.REQUESTS_PER_MINUTE:
            return _window_frees(draft, REQUESTS, room)
        case Limit.TOKENS_PER_MINUTE:
            return _window_frees(draft, TOKENS, room)
        case Limit.BUDGET_MONTH:
            return next_month(draft.index)
        case Limit.BUDGET_TOTAL:
            return None
        case _:
            return next_day(draft.index)


def _window_frees(draft: Draft, names: tuple[str, ...], room: int) -> int:
    counts, index = draft.standing.counts, draft.index
    return next(i for i in range(index + 1, index + COUNTED + 1) if used(counts, names, i) <= room)
