"""What the meter would decide next, for `x-ratelimit-*`."""

from common.metering.plan import Draft
from common.metering.standing import DAY_REQUESTS, DAY_TOKENS, Standing
from common.metering.window import COUNTED, REQUESTS, RING, SUB_WINDOW, SUB_WINDOW_MS, TOKENS, next_day, used
from common.model.limits import Headroom, Limits, Room


def headroom(standing: Standing, limits: Limits, now_ms: int) -> Headroom:
    """What is left to a principal at `now_ms`."""
    draft = Draft(standing)
    draft.open(now_ms)
    return Headroom(
        _tighter(
            _minute(draft, REQUESTS, limits.requests_per_minute, now_ms),
            _day(draft, DAY_REQUESTS, limits.requests_per_day, now_ms),
        ),
        _tighter(
            _minute(draft, TOKENS, limits.tokens_per_minute, now_ms),
            _day(draft, DAY_TOKENS, limits.tokens_per_day, now_ms),
        ),
    )


def _tighter(one: Room | None, other: Room | None) -> Room | None:
    if one is None or other is None:
        return one or other
    return other if (other.remaining, -other.reset_ms) < (one.remaining, -one.reset_ms) else one


def _minute(draft: Draft, names: tuple[str, ...], limit: int | None, now_ms: int) -> Room | None:
    if limit is None:
        return None
    counts = draft.standing.counts
    newest, oldest = counts[SUB_WINDOW], draft.index - COUNTED + 1
    while newest >= oldest and not counts[names[newest % RING]]:
        newest -= 1
    reset_ms = (newest + COUNTED) * SUB_WINDOW_MS - now_ms if newest >= oldest else 0
    return Room(limit, max(0, limit - used(counts, names, draft.index)), reset_ms)


def _day(draft: Draft, name: str, limit: int | None, now_ms: int) -> Room | None:
    if limit is None:
        return None
    count = draft.value(name)
    reset_ms = next_day(draft.index) * SUB_WINDOW_MS - now_ms if count else 0
    return Room(limit, max(0, limit - count), reset_ms)
