"""Time as the meter counts it: sub-windows of 5 s, twelve of which are the minute of a rate limit, and UTC periods.

A sub-window is named by its index, `UTC milliseconds // 5,000`. A row keeps the counts of the newest sub-window it has
seen (the open one) and of the 13 before it, in a ring: index `i` lives in slot `i % 14`. The index of the open one is
the row's only clock: it never goes back, and the day and the month that the row counts in are those of that index.

M1, the bound. An admission is booked in `i = max(own clock // 5 s, the row's index)`, and only if the counts of
`i - 13 ... i` with it stay within the limit. Let A be applied to the row before B and not be counted by B. Then B's
index is at least A's + 14. It comes from the clock of some write C, B itself or one between A and B, so that
C's clock - A's clock > 13 x 5 s = 65 s. Let no two clocks differ by more than `d`, and no write be applied more than
`w` after its clock was read: A and B are applied more than 65 s - d - w apart. With d + w <= 5 s (clocks within 2 s of
the truth, writes within 1 s) that is more than the window of 60 s: no interval that long has one admission too many.

The price: a place is free at the latest two sub-windows (10 s) after it left the window.
"""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from operator import itemgetter
from typing import Final

SUB_WINDOW_MS: Final = 5_000
COUNTED: Final = 14  # the open sub-window, 12 that cover the window, 1 for clocks that differ
RING: Final = 14  # slots in a row
DAY: Final = 86_400_000 // SUB_WINDOW_MS  # sub-windows in a UTC day
EPOCH: Final = date(1970, 1, 1).toordinal()

SUB_WINDOW: Final = "sub_window"
REQUESTS: Final = tuple(f"requests_{slot}" for slot in range(RING))
TOKENS: Final = tuple(f"tokens_{slot}" for slot in range(RING))
_ALL: Final = {REQUESTS: itemgetter(*REQUESTS), TOKENS: itemgetter(*TOKENS)}


def used(counts: Mapping[str, int], names: tuple[str, ...], index: int) -> int:
    """What counts in sub-window `index` (the row's open one or a later one): the sum of the 14 that end with it."""
    seen = counts[SUB_WINDOW]
    if index == seen and COUNTED == RING:
        return sum(_ALL[names](counts))
    return sum([counts[names[i % RING]] for i in range(index - COUNTED + 1, seen + 1)])


def _month(index: int) -> date:
    return date.fromordinal(EPOCH + index // DAY).replace(day=1)


def day_name(index: int) -> str:
    """The UTC day of a sub-window, like `2026-11-25`."""
    return date.fromordinal(EPOCH + index // DAY).isoformat()


def same_day(a: int, b: int) -> bool:
    """Whether two sub-windows are in one UTC day."""
    return a // DAY == b // DAY


def same_month(a: int, b: int) -> bool:
    """Whether two sub-windows are in one UTC month."""
    return same_day(a, b) or _month(a) == _month(b)


def next_day(index: int) -> int:
    """The first sub-window of the UTC day after that of `index`."""
    return (index // DAY + 1) * DAY


def next_month(index: int) -> int:
    """The first sub-window of the UTC month after that of `index`."""
    return _next_month(index // DAY)


@lru_cache(maxsize=4)
def _next_month(day: int) -> int:
    month = date.fromordinal(EPOCH + day)
    later = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    return (later.toordinal() - EPOCH) * DAY
