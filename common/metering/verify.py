"""Whether the meter's rows hold what the usage records say: of each row, what is committed in its day, month and total.

A row must have committed what the records are booked with that were counted in it, and what its open holds hold. A
record whose hold is still open in the row counts by the hold: the other row was settled, or swept, first.

What cannot be told from records, and what becomes of it here:

- A key or user without limits has no row. Where it was given limits later, the records before that are in no row: a row
  that lacks exactly the oldest records, in every period, is right from then on (`since_ms`). One that lacks another
  request of exactly that cost cannot be told from it.
- A row that changes while it is looked at may differ from records for that alone: it is not judged.
- A request that was let pass while the storage failed, or while limits were taken away for a time, has a record that is
  in no row. That is a difference, and no fault.

The memory it takes grows with the rows, not with the records.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from common.metering.budget import PERIODS
from common.metering.rows import RowList
from common.metering.standing import Hold, Standing
from common.metering.window import SUB_WINDOW, SUB_WINDOW_MS
from common.model.usage_query import Booking
from common.ports import UsageStore


class Money(NamedTuple):
    """Nano-dollars of a row's day, of its month, and in total."""

    day: int
    month: int
    total: int


NOTHING: Final = Money(0, 0, 0)


class Verdict(StrEnum):
    """What there is to say of a row."""

    RIGHT = "right"
    RIGHT_SINCE = "right_since"  # older records are not in it, as if it had had no limits then
    DIFFERS = "differs"
    CHANGING = "changing"  # somebody wrote it meanwhile


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """One row: what it has committed without its holds, and what the records are booked with."""

    row: str
    verdict: Verdict
    counted: Money
    recorded: Money
    since_ms: int | None = (
        None  # with `RIGHT_SINCE`: when the first request was booked that counts; None: none yet
    )


async def verify(rows: RowList, usage: UsageStore) -> list[RowVerdict]:
    """Of every row, by name. All records are read once, and once more where a row lacks some."""
    before = {name: standing async for name, standing in _all(rows)}
    books = {name: _Book(standing) for name, standing in before.items()}
    async for booking in usage.bookings():
        for book in _books_of(booking, books):
            book.add(booking)
    lacking = {name: book for name, book in books.items() if book.lacks_records()}
    if lacking:
        async for booking in usage.bookings():
            for book in _books_of(booking, lacking):
                book.look_for_its_beginning(booking)
    after = {name: standing async for name, standing in _all(rows)}
    return [book.verdict(name, changed=after.get(name) != before[name]) for name, book in books.items()]


async def _all(rows: RowList) -> AsyncIterator[tuple[str, Standing]]:
    after = ""
    while page := await rows.page(after):
        for row in page:
            yield row
        after = page[-1][0]


def _books_of(booking: Booking, books: Mapping[str, "_Book"]) -> Iterator["_Book"]:
    for name in (f"key:{booking.key_id}", f"user:{booking.user}"):
        if name in books:
            yield books[name]


class _Book:
    """One row, and what records there are of it."""

    __slots__ = ("_counted", "_holds", "_older", "_recorded", "_since", "_sub_window")

    def __init__(self, standing: Standing) -> None:
        self._sub_window = standing.counts[SUB_WINDOW]
        self._holds = frozenset(standing.holds)
        self._recorded = self._older = NOTHING
        self._since: int | None = None  # the sub-window of the first record that the row counts
        held = NOTHING
        for hold_id, text in standing.holds.items():
            hold = Hold.decode(hold_id, text)
            held = self._plus(held, hold.sub_window, hold.cost_nanousd)
        committed = (standing.counts[period.committed] for period in PERIODS)
        self._counted = Money(*(amount - part for amount, part in zip(committed, held, strict=True)))

    def add(self, booking: Booking) -> None:
        """Count a record."""
        if booking.request_id not in self._holds:
            self._recorded = self._plus(self._recorded, booking.sub_window, booking.cost_nanousd)

    def lacks_records(self) -> bool:
        """Whether records say more than the row."""
        return self._recorded.total > self._counted.total

    def look_for_its_beginning(self, booking: Booking) -> None:
        """Take in the records again, the oldest first."""
        if booking.request_id in self._holds or self._since is not None:
            return
        if self._older == self._lacking:
            self._since = booking.sub_window
        else:
            self._older = self._plus(self._older, booking.sub_window, booking.cost_nanousd)

    def verdict(self, row: str, *, changed: bool) -> RowVerdict:
        """After all records, twice where the row lacks some."""
        verdict, since_ms = Verdict.DIFFERS, None
        if changed:
            verdict = Verdict.CHANGING
        elif self._recorded == self._counted:
            verdict = Verdict.RIGHT
        elif self.lacks_records() and self._older == self._lacking:
            verdict = Verdict.RIGHT_SINCE
            since_ms = None if self._since is None else self._since * SUB_WINDOW_MS
        return RowVerdict(row, verdict, self._counted, self._recorded, since_ms)

    @property
    def _lacking(self) -> Money:
        return Money(*(said - has for said, has in zip(self._recorded, self._counted, strict=True)))

    def _plus(self, money: Money, sub_window: int, cost_nanousd: int) -> Money:
        """`money`, with what is booked in a sub-window, as far as the row's periods are still those."""
        return Money(
            *(
                amount + (cost_nanousd if period.same(sub_window, self._sub_window) else 0)
                for amount, period in zip(money, PERIODS, strict=True)
            )
        )
