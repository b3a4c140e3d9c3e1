"""What the meter would decide next, for `x-ratelimit-*`."""

from collections.abc import Mapping

from common.metering.plan import opened
from common.metering.standing import DAY_REQUESTS, DAY_TOKENS, Standing
from common.metering.window import COUNTED, REQUESTS, RING, SUB_WINDOW, SUB_WINDOW_MS, TOKENS, next_day, used
from common.model.limits import Headroom, Limit, Limits, Room


def headroom(standing: Standing, limits: Limits, now_ms: int) -> Headroom:
    """What is left to a principal at `now_ms`."""
    counts, value = opened(standing, now_ms), limits.binding.get
    return Headroom(
        _tighter(
            minute(counts, REQUESTS, value(Limit.REQUESTS_PER_MINUTE), now_ms),
            _day(counts, DAY_REQUESTS, value(Limit.REQUESTS_PER_DAY), now_ms),
        ),
        _tighter(
            minute(counts, TOKENS, value(Limit.TOKENS_PER_MINUTE), now_ms),
            _day(counts, DAY_TOKENS, value(Limit.TOKENS_PER_DAY), now_ms),
        ),
    )


def tighter(one: Headroom, other: Headroom) -> Headroom:
    """What is left where both bind."""
    return Headroom(_tighter(one.requests, other.requests), _tighter(one.tokens, other.tokens))


def _tighter(one: Room | None, other: Room | None) -> Room | None:
    """The one with less room, or of two with the same the one that takes longer until all of it is back."""
    if one is None or other is None:
        return one or other
    if one.remaining == other.remaining:
        return other if other.reset_ms > one.reset_ms else one
    return other if other.remaining < one.remaining else one


def minute(counts: Mapping[str, int], names: tuple[str, ...], limit: int | None, now_ms: int) -> Room | None:
    """What is left of a window; None where it is not limited."""
    if limit is None:
        return None
    newest = index = counts[SUB_WINDOW]
    count = used(counts, names, index)
    if not count:
        return Room(limit, limit, 0)
    while not counts[names[newest % RING]]:
        newest -= 1
    return Room(limit, max(0, limit - count), (newest + COUNTED) * SUB_WINDOW_MS - now_ms)


def _day(counts: Mapping[str, int], name: str, limit: int | None, now_ms: int) -> Room | None:
    if limit is None:
        return None
    count = counts[name]
    reset_ms = next_day(counts[SUB_WINDOW]) * SUB_WINDOW_MS - now_ms if count else 0
    return Room(limit, max(0, limit - count), reset_ms)
