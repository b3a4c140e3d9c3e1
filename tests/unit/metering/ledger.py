"""A log of every admission: the slow and obviously right account of what a principal used.

It knows nothing of rings, guards or encodings. Every invariant is asked of the whole log, at true time.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

from common.metering.standing import ATTRIBUTES, Standing
from common.model.ids import RequestId
from common.model.limits import Limits

MINUTE_MS = 60_000


@dataclass
class Entry:
    """One admission. `booked` is what of the money counts now, `index` the 5 s in which it is booked."""

    id: RequestId
    true_ms: int
    index: int
    hold: int
    booked: int
    tokens: int
    expires_ms: int
    request_index: int
    open: bool = True
    withdrawn: bool = False
    extended: bool = False
    overrun: int = 0
    left_behind: list[tuple[int, int]] = field(
        default_factory=list
    )  # tokens that stay where they were, by index
    excess: list[tuple[int, int]] = field(default_factory=list)


@cache
def day(index: int) -> str:
    """The UTC day of a sub-window."""
    return datetime.fromtimestamp(index * 5, UTC).strftime("%Y-%m-%d")


def month(index: int) -> str:
    """The UTC month of a sub-window."""
    return day(index)[:7]


class Ledger:
    """The log, and the latest time that any clock has shown to the row."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.entries: dict[RequestId, Entry] = {}
        self.latest_ms = 0

    def index(self, now_ms: int) -> int:
        """Where something is booked that happens by a clock that shows `now_ms`."""
        self.latest_ms = max(self.latest_ms, now_ms)
        return self.latest_ms // 5_000

    def admitted(
        self, id_: RequestId, cost: int, tokens: int, *, true_ms: int, now_ms: int, expires_ms: int
    ) -> None:
        """Log an admission, and hold it against M1 and M2."""
        index = self.index(now_ms)
        self.entries[id_] = Entry(id_, true_ms, index, cost, cost, tokens, expires_ms, index)
        self.check_rate(true_ms, tokens)
        if cost:
            self.check_money()

    def check_rate(self, true_ms: int, tokens: int) -> None:
        """M1: the minute that ends with this admission, measured by a true clock, has no more than the limits."""
        recent = [e for e in self.entries.values() if e.true_ms >= true_ms - MINUTE_MS and not e.withdrawn]
        most, most_tokens = self.limits.requests_per_minute, self.limits.tokens_per_minute
        assert most is None or len(recent) <= most, f"M1: {len(recent)} of {most} requests in a minute"
        if tokens and most_tokens is not None:
            total = sum(e.tokens for e in recent)
            assert total <= most_tokens, f"M1: {total} of {most_tokens} tokens in a minute"

    def check_money(self) -> None:
        """M2: after an admission or extension, what is committed is within every budget."""
        for committed, budget in zip(self.committed(), self.budgets(), strict=True):
            assert budget is None or committed <= budget, f"M2: {committed} committed of {budget}"

    def check_overrun(self) -> None:
        """M2: at any time, what is committed is within every budget but for what was overrun."""
        for committed, over, budget in zip(self.committed(), self.overrun(), self.budgets(), strict=True):
            assert budget is None or committed - over <= budget, f"M2: {committed} - {over} of {budget}"

    def budgets(self) -> tuple[int | None, int | None, int | None]:
        """Of the day, the month, in total."""
        return self.limits.budget_day, self.limits.budget_month, self.limits.budget_total

    def committed(self) -> tuple[int, int, int]:
        """Of the current day, the current month, in total."""
        return self._sums({e.id: e.booked for e in self.entries.values()})

    def overrun(self) -> tuple[int, int, int]:
        """Of the current day, the current month, in total."""
        return self._sums({e.id: e.overrun for e in self.entries.values()})

    def _sums(self, amounts: dict[RequestId, int]) -> tuple[int, int, int]:
        index = self.latest_ms // 5_000
        where = {id_: self.entries[id_].index for id_ in amounts}
        return (
            sum(amount for id_, amount in amounts.items() if day(where[id_]) == day(index)),
            sum(amount for id_, amount in amounts.items() if month(where[id_]) == month(index)),
            sum(amounts.values()),
        )

    def extended(self, entry: Entry, cost: int, now_ms: int) -> None:
        """Log an extension to `cost`; on a later day the whole hold is booked anew."""
        index = self.index(now_ms)
        if day(index) != day(entry.index):
            entry.left_behind.append((entry.index, entry.tokens))
            entry.index = index
        entry.hold = entry.booked = cost
        entry.extended = True
        self.check_money()

    def replaced(self, entry: Entry, cost: int, tokens: int, now_ms: int) -> None:
        """Log what a request did use."""
        entry.open = False
        entry.overrun += max(0, cost - entry.booked)
        entry.booked = cost
        if tokens > entry.tokens:
            entry.excess.append((self.index(now_ms), tokens - entry.tokens))
        else:
            entry.tokens = tokens

    def swept(self, id_: RequestId) -> None:
        """Log that an expired hold is spent."""
        self.entries[id_].open = False

    def withdrawn(self, entry: Entry) -> None:
        """Log that an admission was undone."""
        entry.open, entry.withdrawn = False, True
        entry.booked = entry.tokens = 0

    def tokens_by_index(self) -> list[tuple[int, int]]:
        """Every booking of tokens."""
        return [
            booking
            for e in self.entries.values()
            for booking in [(e.index, e.tokens), *e.left_behind, *e.excess]
        ]

    def check_row(self, row: Standing, withdrawn_after: dict[RequestId, int]) -> None:
        """M3, M4: the row says what the log says; `withdrawn_after` has the row's sub-window at each withdrawal."""
        index = self.latest_ms // 5_000
        expected = dict.fromkeys(ATTRIBUTES, 0) | {"sub_window": index}
        for e in self.entries.values():
            stays = not e.withdrawn or withdrawn_after[e.id] > e.request_index
            if stays and e.request_index > index - 14:
                expected[f"requests_{e.request_index % 14}"] += 1
            if not e.withdrawn and day(e.request_index) == day(index):
                expected["day_requests"] += 1
        for booked, tokens in self.tokens_by_index():
            if booked > index - 14:
                expected[f"tokens_{booked % 14}"] += tokens
            if day(booked) == day(index):
                expected["day_tokens"] += tokens
        expected["committed_day"], expected["committed_month"], expected["committed_total"] = self.committed()
        holds = {e.id for e in self.entries.values() if e.open}
        expected["in_flight"] = len(holds)
        different = {n: (row.counts[n], v) for n, v in expected.items() if row.counts[n] != v}
        assert not different, f"M3, M4: the row and the log differ: {different}"
        assert row.holds.keys() == holds, "M4: the open holds differ"
