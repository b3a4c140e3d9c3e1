"""What must hold, held against a log that the simulation keeps by itself, at true time, after every change of a row.

It knows nothing of rings, guards and plans. It looks at which holds appear in a row and which leave it, at the records,
and at what the providers have really served; from that it knows what each row must say.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Final

from common.metering.standing import Hold, Standing, expiry_s
from common.model.admission import HOLD_S
from common.model.ids import RequestId
from common.model.limits import UNLIMITED, Limits
from common.model.usage import Booked, Provisional, UsageRecord
from tests.support.records import misbooked

WINDOW_S: Final = 60.0
NO_HOLDS: Final[Mapping[RequestId, str]] = {}


class Violation(AssertionError):
    """An invariant does not hold; the message begins with its name."""


@cache
def periods(index: int) -> tuple[str, str, str]:
    """The UTC day and month of a sub-window, and all time."""
    day = datetime.fromtimestamp(index * 5, UTC).strftime("%Y-%m-%d")
    return day, day[:7], ""


@dataclass(slots=True)
class Entry:
    """One request in one row. `booked` is what of the money counts now, `index` tells in which periods."""

    hold: Hold
    true_s: float
    in_time: bool  # or written when nobody waited for it any more, so nobody was admitted by it
    tokens: int
    booked: int
    index: int
    open: bool = True
    echo: int = 0  # nano-dollars that are booked once more, by a write that came twice


@dataclass
class Book:
    """The log of one row."""

    limits: Limits
    entries: dict[RequestId, Entry] = field(default_factory=dict)
    recent: deque[Entry] = field(default_factory=deque)
    committed: Counter[str] = field(default_factory=Counter)
    overrun: Counter[str] = field(default_factory=Counter)
    day_requests: Counter[str] = field(default_factory=Counter)
    day_tokens: Counter[str] = field(default_factory=Counter)

    def changed(
        self,
        true_s: float,
        before: Standing,
        after: Standing,
        settled: UsageRecord | None,
        withdrawn: frozenset[RequestId],
        *,
        in_time: bool,
        first: bool,
        corrects: bool,
    ) -> None:
        """Log what became of the row in one step, and hold the row against the log.

        `settled`: a record that was written, or would have been were it the request's `first`. `corrects`: it stands in
        for one that was settled.
        """
        held = [id_ for id_, text in after.holds.items() if before.holds.get(id_) != text]
        for id_ in held:
            self._held(Hold.decode(id_, after.holds[id_]), true_s, in_time=in_time)
        if held and in_time:
            self._check_rate(true_s)
            self._check_counts(after)
        for id_ in before.holds.keys() - after.holds.keys():
            self._ended(id_, settled, withdrawn=id_ in withdrawn, corrects=corrects)
        if settled is not None and first and settled.request_id in self.entries:
            self._settled(self.entries[settled.request_id], settled)
        self._check_row(after, promised=any(self.entries[id_].booked for id_ in held))

    def _held(self, hold: Hold, true_s: float, *, in_time: bool) -> None:
        entry = self.entries.get(hold.id)
        if entry is None:
            entry = Entry(hold, true_s, in_time, hold.tokens, hold.cost_nanousd, hold.sub_window)
            self.entries[hold.id] = entry
            self.recent.append(entry)
            self.day_requests[periods(entry.index)[0]] += 1
            self.day_tokens[periods(entry.index)[0]] += entry.tokens
            self._book(entry, entry.booked)
            return
        if not entry.open:
            if in_time or entry.echo:
                raise Violation(f"M3: {hold.id} is held again after its end")
            entry.open, entry.echo = True, hold.cost_nanousd
            self._book(entry, entry.echo)
            return
        self._book(entry, -entry.booked)  # an extension; on a later day it is booked there
        if periods(entry.index)[0] != periods(hold.sub_window)[0]:
            self.day_tokens[periods(hold.sub_window)[0]] += entry.tokens
        entry.hold, entry.booked, entry.index = hold, hold.cost_nanousd, hold.sub_window
        self._book(entry, entry.booked)

    def _ended(self, id_: RequestId, settled: UsageRecord | None, *, withdrawn: bool, corrects: bool) -> None:
        """A hold has left the row. A correction that finds one that was written twice settles that, and no more."""
        entry = self.entries[id_]
        entry.open = False
        if entry.echo and settled is not None and settled.request_id == id_:
            stays = entry.booked if corrects else settled.cost_nanousd
            self._book(entry, stays - entry.echo)
            entry.echo = stays
        if withdrawn:  # as if it had never been
            self._book(entry, -entry.booked)
            day = periods(entry.index)[0]
            self.day_requests[day] -= 1
            self.day_tokens[day] -= entry.tokens
            entry.in_time = False
            del self.entries[id_]

    def _settled(self, entry: Entry, record: UsageRecord) -> None:
        over = max(0, record.cost_nanousd - entry.booked)  # of a correction: beyond the bound that was booked
        for period in periods(entry.index):
            self.overrun[period] += over
        self._book(entry, record.cost_nanousd - entry.booked)
        entry.booked = record.cost_nanousd
        used = min(entry.tokens, record.tokens.total)
        self.day_tokens[periods(entry.index)[0]] += used - entry.tokens
        entry.tokens = used

    def _book(self, entry: Entry, by: int) -> None:
        for period in periods(entry.index):
            self.committed[period] += by

    def _check_rate(self, true_s: float) -> None:
        recent, limits = self.recent, self.limits
        while recent and recent[0].true_s < true_s - WINDOW_S:
            recent.popleft()
        if limits.requests_per_minute is not None:
            requests = sum(entry.in_time for entry in recent)
            if requests > limits.requests_per_minute:
                raise Violation(f"M1: {requests} of {limits.requests_per_minute} requests in a minute")
        if limits.tokens_per_minute is not None:
            tokens = sum(entry.tokens for entry in recent if entry.in_time)
            if tokens > limits.tokens_per_minute:
                raise Violation(f"M1: {tokens} of {limits.tokens_per_minute} tokens in a minute")

    def _check_counts(self, after: Standing) -> None:
        """M1: no more in a day, and no more at a time; who was admitted has seen those that had expired."""
        limits, day = self.limits, periods(after.counts["sub_window"])[0]
        if limits.requests_per_day is not None and self.day_requests[day] > limits.requests_per_day:
            raise Violation(f"M1: {self.day_requests[day]} of {limits.requests_per_day} requests in a day")
        if limits.tokens_per_day is not None and self.day_tokens[day] > limits.tokens_per_day:
            raise Violation(f"M1: {self.day_tokens[day]} of {limits.tokens_per_day} tokens in a day")
        if limits.max_parallel is not None and len(after.holds) > limits.max_parallel:
            raise Violation(f"M1: {len(after.holds)} of {limits.max_parallel} requests at a time")

    def _check_row(self, after: Standing, *, promised: bool) -> None:
        """M2, M4: `promised` where money was held in this step, which no overrun excuses."""
        counts, limits = after.counts, self.limits
        if counts["in_flight"] != len(after.holds):
            raise Violation(f"M4: {len(after.holds)} holds, {counts['in_flight']} in flight")
        names = ("committed_day", "committed_month", "committed_total")
        budgets = (limits.budget_day, limits.budget_month, limits.budget_total)
        for name, period, budget in zip(names, periods(counts["sub_window"]), budgets, strict=True):
            if counts[name] != self.committed[period]:
                raise Violation(f"M4: {name} is {counts[name]}, records and holds {self.committed[period]}")
            excused = 0 if promised else self.overrun[period]
            if budget is not None and counts[name] > budget + excused:
                raise Violation(f"M2: {name} is {counts[name]} of {budget}, overrun {excused}")

    def check_expired(self, after: Standing, admitted: RequestId) -> None:
        """M4: whoever was admitted has left no hold that had expired by its clock.

        Of those that were put in the same sub-window it need not know; by then none has expired whose request came in
        less than an hour ago.
        """
        now_s, index = expiry_s(admitted) - HOLD_S, after.counts["sub_window"]
        stale = [id_ for id_ in after.holds if expiry_s(id_) <= now_s and self.entries[id_].index < index]
        if stale:
            raise Violation(f"M4: {stale} outlived an admission after their expiry")


@dataclass
class Served:
    """What providers did for one request."""

    billed: int = 0  # nano-dollars
    within: int = 0  # of these, for no more output than was asked for
    possible: int = 0  # what they could have cost, as far as anything is taken on trust
    unseen: int = 0  # of these, for what the gateway had no chance to see
    breached: bool = False  # one of them left the trust boundary: served far more than it was asked for


class Invariants:
    """The logs of all rows, the records as they came, and the providers' own accounts."""

    def __init__(self) -> None:
        self.books: dict[str, Book] = {}
        self.served: dict[RequestId, Served] = {}
        self.settled: dict[RequestId, UsageRecord] = {}
        self.corrected: set[RequestId] = set()
        self.admitted: Collection[RequestId] = ()  # who was told so
        self.told: Callable[[str], tuple[int, int] | None] = lambda _: (
            None
        )  # by a provider's id, what it used

    def row(self, name: str, limits: Limits) -> None:
        """There is a row with these limits."""
        if limits != UNLIMITED:
            self.books[name] = Book(limits)

    def changed(
        self,
        true_s: float,
        rows: Mapping[str, tuple[Standing, Standing]],
        records: Mapping[RequestId, UsageRecord],
        settled: UsageRecord | None,
        corrects: Provisional | None,
        *,
        in_time: bool,
    ) -> None:
        """Rows have changed together, from one standing to another; `settled`: a record that was written for it."""
        if settled is not None and (wrong := misbooked(settled)) is not None:
            raise Violation(f"M4: the route of {settled.request_id} does not add up: {wrong}")
        corrected = corrects is Provisional.AWAITING
        if settled is not None and corrected:
            self._corrects(settled, records)
            first = True
        else:
            first = settled is not None and self._is_first(settled, records)
        for name, (before, after) in rows.items():
            gone = frozenset(before.holds.keys() - after.holds.keys() - records.keys())
            if lost := gone & (self.served.keys() | set(self.admitted)):
                raise Violation(f"M4: the holds of {lost} left {name} without a record")
            self.books[name].changed(
                true_s, before, after, settled, gone, in_time=in_time, first=first, corrects=corrected
            )
            for id_ in after.holds.keys() - before.holds.keys():
                self.books[name].check_expired(after, id_)

    def _corrects(self, settled: UsageRecord, records: Mapping[RequestId, UsageRecord]) -> None:
        """M4: a record is corrected once, to what its providers say, if that can be true."""
        id_ = settled.request_id
        before = self.settled[id_]
        if id_ in self.corrected or before.awaiting is None:
            raise Violation(f"M4: {id_} awaited no correction")
        if records[id_] != settled or settled.awaiting is not None:
            raise Violation(f"M4: {id_} still awaits a correction")
        served = self.served[id_]
        more = settled.cost_nanousd - before.cost_nanousd
        if more > served.billed - served.within:
            raise Violation(f"M2: {id_} was booked with {before.cost_nanousd}, which was no bound: {served}")
        self.corrected.add(id_)
        self.settled[id_] = settled
        for was, now in zip(before.route, settled.route, strict=True):
            if was == now:
                continue
            told = None if now.provider_request_id is None else self.told(now.provider_request_id)
            used = (now.tokens.total - now.tokens.output, now.tokens.output)
            if now.booked is Booked.USAGE and used != told:
                raise Violation(f"M4: {id_} is corrected to {used}, told was {told}")

    def _is_first(self, settled: UsageRecord, records: Mapping[RequestId, UsageRecord]) -> bool:
        """M3: whether this settlement is the request's first, which stays."""
        known = self.settled.setdefault(settled.request_id, settled)
        if records.get(settled.request_id) != known:
            raise Violation(f"M3: the record of {settled.request_id} was replaced")
        return known is settled

    def sending(self, id_: RequestId, cost: int, rows: Mapping[str, Standing], abandoned: int | None) -> None:
        """M2: an attempt that may cost this much is sent. What may be billed by then is held, in every row."""
        served = self.served.setdefault(id_, Served())
        for name, standing in rows.items():
            entry = self.books[name].entries.get(id_)
            if entry is None:
                raise Violation(f"M8: {id_} was sent without a hold in {name}")
            held = entry.hold.cost_nanousd if id_ in standing.holds else abandoned
            if held is None:
                raise Violation(f"M3: {id_} was sent after it was settled")
            if self.books[name].limits.has_budget and served.possible + cost > held:
                raise Violation(f"M2: {id_} may cost {served.possible} + {cost}, held are {held}")

    def billed(
        self, id_: RequestId, cost: int, most: int, possible: int, unseen: int, *, breached: bool
    ) -> None:
        """A provider is done with an attempt, for which it was to charge at most `most`; more input was possible."""
        served = self.served.setdefault(id_, Served())
        served.possible += possible
        served.billed += cost
        served.within += min(cost, most)
        served.unseen += unseen
        served.breached |= breached

    # -- at the end ----------------------------------------------------------------------------------------------------

    def check_end(self, standings: Mapping[str, Standing], records: Mapping[RequestId, UsageRecord]) -> None:
        """All holds have expired and every row was used once more: everything is in records, to the nano-dollar."""
        for name, book in self.books.items():
            left = {id_ for id_, entry in book.entries.items() if entry.open}
            holds = standings[name].holds if name in standings else NO_HOLDS
            if left != holds.keys():
                raise Violation(f"M4: open in the log of {name}: {left}, in the row: {set(holds)}")
            held = {id_ for id_ in left if not book.entries[id_].echo}
            missing = book.entries.keys() - held - records.keys()
            if missing:
                raise Violation(f"M4: no record of {missing}")
            total = sum(records[id_].cost_nanousd for id_ in book.entries.keys() - held)
            total += sum(book.entries[id_].hold.cost_nanousd for id_ in held)
            total += sum(entry.echo for entry in book.entries.values())
            if total != book.committed[""]:
                raise Violation(
                    f"M4: records of {name} add up to {total}, committed are {book.committed['']}"
                )
        for id_, record in records.items():
            if record.awaiting is not None:
                raise Violation(f"M4: {id_} still awaits a correction")
        self._check_bills(records)

    def _check_bills(self, records: Mapping[RequestId, UsageRecord]) -> None:
        for id_, served in self.served.items():
            record = records.get(id_)
            if record is None or served.breached:
                continue
            # an estimate is never above what was held: more than was asked for, and not told, is beyond it
            least = (served.within if record.estimated else served.billed) - served.unseen
            if record.cost_nanousd < least:
                raise Violation(
                    f"M4: {id_} is booked with {record.cost_nanousd}, the bill is {least}: {record}"
                )
            excess = served.billed - served.within
            if record.cost_nanousd > record.held_nanousd + excess:
                raise Violation(f"M2: {id_} is booked with {record.cost_nanousd}, above {served}: {record}")
