"""The meter: decisions carried out on rows, with what every engine must do the same way.

- A plan is made from the standing that is remembered; where its guards fail, again from the row as it came back. Guards
  make a stale view harmless, so no read comes before a write.
- A request is booked in the same sub-window of all its rows, so its record tells its day and month for all of them.
- Nobody is refused on a remembered standing, except by a window of requests, for a second: time makes room there, and
  what may be given back is an admission that another row made void.
- Whoever's plan allows it is admitted without a hold while the storage fails; the settlement is tried all the same.
- A settlement that finds its hold swept corrects what was booked for it, in the transaction that corrects its record.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Final, NamedTuple

from common.metering import decision
from common.metering.abandoned import abandoned_record
from common.metering.alerts import LogAlerts
from common.metering.budget import unspent
from common.metering.checks import asked_of
from common.metering.decision import Actual
from common.metering.headroom import headroom, tighter
from common.metering.lapse import Lapse
from common.metering.plan import Plan
from common.metering.refusal import MONEY, limit_error
from common.metering.report import report
from common.metering.rows import Change, Records, Rows
from common.metering.standing import Hold, Standing
from common.metering.watch import Alert, Observed, observed, overruns, thresholds
from common.metering.window import SUB_WINDOW, SUB_WINDOW_MS
from common.model.admission import Admission, Ask
from common.model.errors import LimitError, StorageContended, StorageUnavailable
from common.model.ids import KeyId, RequestId
from common.model.limits import NO_LIMITS, Headroom, Limit, Limits, LimitStanding, Reason, Refused
from common.model.principal import Principal
from common.model.usage import UsageRecord
from common.ports import Clock

TRIES: Final = 8  # of one call: a row that turns faster than this is not to be had
_REMEMBERED: Final = 10_000
_FRESH_MS: Final = 1_000

Make = Callable[[str, Standing, int], Refused | Plan]
"""Of a row, its standing and the time."""


class _Done(NamedTuple):
    """Plans that were applied, and the rows as they are after them."""

    changes: Sequence[Change]
    standings: Sequence[Standing]

    @property
    def hold(self) -> Hold:
        """What the request holds now, in each row."""
        hold = self.changes[0].plan.hold
        assert hold is not None
        return hold


class _Seen(NamedTuple):
    """A standing, and when it was that of its row."""

    standing: Standing
    at_ms: int


class LimitMeter:
    """A `Meter` over any engine's rows."""

    def __init__(self, rows: Rows, clock: Clock, alert: Callable[[Alert], None] | None = None) -> None:
        """`alert`: is told what `watch` finds; must neither wait nor raise. Without it, the log is told."""
        self._rows = rows
        self._clock = clock
        self._alert = alert or LogAlerts()
        self._lapse = Lapse(clock)
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    async def admit(self, ask: Ask) -> Admission:
        """See `Meter.admit`."""
        limits = ask.principal.limits
        if not limits:
            return _without_hold(ask)
        asked = decision.Ask(ask.request_id, ask.cost_nanousd, ask.tokens)

        def make(row: str, standing: Standing, at_ms: int) -> Refused | Plan:
            return decision.admit(standing, limits[row], asked, at_ms)

        try:
            done = await self._carry_out(limits, make, ask.principal)
        except StorageUnavailable as failure:
            if isinstance(failure, StorageContended) or not ask.principal.needs_no_storage:
                raise
            self._lapse.note(failure)
            return _without_hold(ask)
        room = _headroom(limits, done.standings, ask.now_ms)
        observed = self._observed(ask, done.standings)
        return Admission(ask, ask.cost_nanousd, done.hold.sub_window, room, observed=observed)

    async def extend(self, admission: Admission, more_nanousd: int) -> Admission:
        """See `Meter.extend`."""
        ask = admission.ask
        limits = ask.principal.limits
        if not limits or not admission.booked:
            return replace(admission, held_nanousd=admission.held_nanousd + more_nanousd)
        held = Hold(ask.request_id, admission.held_nanousd, ask.tokens, admission.sub_window)

        def make(row: str, standing: Standing, at_ms: int) -> Refused | Plan:
            return decision.extend(standing, limits[row], held, more_nanousd, at_ms)

        hold = (await self._carry_out(limits, make, ask.principal)).hold
        return replace(admission, held_nanousd=hold.cost_nanousd, sub_window=hold.sub_window)

    async def withdraw(self, ask: Ask) -> None:
        """See `Meter.withdraw`. Rows are told one by one: each by itself knows whether it holds the request."""
        for row in ask.principal.limits:
            (standing,) = await self._read([row])
            for _ in range(TRIES):
                if ask.request_id not in standing.holds:
                    break
                plan = decision.withdraw(standing, ask.request_id, self._clock.now_ms())
                outcome = await self._rows.apply([Change(row, plan)], Records())
                (standing,) = outcome.standings
                self._remember([row], outcome.standings)
                if outcome.applied:
                    break
            else:
                raise _contended()

    async def settle(self, admission: Admission, record: UsageRecord) -> None:
        """See `Meter.settle`."""
        limits = admission.ask.principal.limits
        if not limits and (await self._rows.apply((), Records(record))).applied:
            return
        rows = list(limits)
        actual, now_ms = Actual(record.cost_nanousd, record.tokens.total), self._clock.now_ms()
        standings, fresh = await self._standings(rows)
        for _ in range(TRIES):
            present = [record.request_id in standing.holds for standing in standings]
            booked: UsageRecord | None = None
            known = False
            if not all(present):
                if not fresh:
                    standings, fresh = await self._read(rows), True
                    continue
                booked = await self._rows.find(record.request_id)
                if booked is not None and not booked.abandoned:
                    if not any(present):
                        return
                    # the first record stays, and a row that has not been told is: where rows are written in turn
                    actual, booked = Actual(booked.cost_nanousd, booked.tokens.total), None
                    known = True
            changes = [
                Change(row, _settlement(standing, record.request_id, actual, booked, now_ms))
                for row, standing in zip(rows, standings, strict=True)
            ]
            if record.awaiting is not None:
                record = _as_held(record, standings)
            outcome = await self._rows.apply(
                changes, Records(record, corrects=None if booked is None else booked.provisional)
            )
            standings, fresh = outcome.standings, True
            self._remember(rows, standings)
            if outcome.applied:
                self._tell(_Done(changes, standings), limits, now_ms)
                for overrun in () if known else overruns(record, limits):
                    self._alert(overrun)
                return
        raise _contended()

    async def standing(self, principal: Principal) -> Mapping[str, Sequence[LimitStanding]]:
        """See `Meter.standing`."""
        standings = await self._read(list(principal.limits))
        now_ms = self._clock.now_ms()
        return {
            row: report(standing, limits, now_ms)
            for (row, limits), standing in zip(principal.limits.items(), standings, strict=True)
        }

    async def _carry_out(self, limits: Mapping[str, Limits], make: Make, principal: Principal) -> _Done:
        """Until the plans of all rows are applied together, or one row refuses."""
        rows = list(limits)
        standings, fresh = await self._standings(rows)
        for _ in range(TRIES):
            now_ms = self._clock.now_ms()  # each time: M1 needs a write to be done within a second of it
            times = _booking_times(standings, now_ms)
            changes: list[Change] = []
            refusals: list[tuple[str, Refused]] = []
            for row, standing, at_ms in zip(rows, standings, times, strict=True):
                verdict = make(row, standing, at_ms)
                if isinstance(verdict, Refused):
                    refusals.append((row, verdict))
                elif verdict.hold is not None:
                    changes.append(Change(row, verdict))
            if len(changes) < len(rows):
                if fresh or self._is_final(refusals):
                    raise _refusal(refusals, limits, standings, now_ms) if refusals else _expired()
                standings, fresh = await self._read(rows), True
                continue
            outcome = await self._rows.apply(changes, Records(abandoned=_abandoned(changes, principal)))
            standings, fresh = outcome.standings, True
            self._remember(rows, standings)
            if outcome.applied:
                done = _Done(changes, standings)
                self._tell(done, limits, now_ms)
                return done
        raise _contended()

    def _tell(self, done: _Done, limits: Mapping[str, Limits], now_ms: int) -> None:
        """Of budgets that run low."""
        for change, after in zip(done.changes, done.standings, strict=True):
            bound = limits[change.row]
            if bound.alerts:
                for threshold in thresholds(change.row, after, bound, change.plan, now_ms):
                    self._alert(threshold)

    def _observed(self, ask: Ask, standings: Sequence[Standing]) -> tuple[Limit, ...]:
        """What would have refused a request that was admitted; each row's is told."""
        found: list[Limit] = []
        for (row, bound), after in zip(ask.principal.limits.items(), standings, strict=True):
            if bound.observing and (each := observed(after, bound, asked_of(ask.tokens, ask.cost_nanousd))):
                self._alert(Observed(row, ask.request_id, each))
                found += each
        return tuple(dict.fromkeys(found))

    def _is_final(self, refusals: Sequence[tuple[str, Refused]]) -> bool:
        """Whether no newer row has more room: closed sub-windows never change, and the open one mostly grows."""
        oldest_ms = self._clock.now_ms() - _FRESH_MS
        return bool(refusals) and all(
            refused.limit is Limit.REQUESTS_PER_MINUTE
            and refused.reason is Reason.USED_UP
            and self._seen[row].at_ms > oldest_ms
            for row, refused in refusals
        )

    async def _standings(self, rows: Sequence[str]) -> tuple[Sequence[Standing], bool]:
        """As remembered, or all read; and whether they were read."""
        remembered = [self._seen[row].standing for row in rows if row in self._seen]
        if len(remembered) == len(rows):
            return remembered, False
        return await self._read(rows), True

    async def _read(self, rows: Sequence[str]) -> Sequence[Standing]:
        standings = await self._rows.read(rows)
        self._remember(rows, standings)
        return standings

    def _remember(self, rows: Sequence[str], standings: Sequence[Standing]) -> None:
        at_ms = self._clock.now_ms()
        for row, standing in zip(rows, standings, strict=True):
            self._seen[row] = _Seen(standing, at_ms)
            self._seen.move_to_end(row)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)


def _booking_times(standings: Sequence[Standing], now_ms: int) -> Sequence[int]:
    """For each row: now, or the sub-window of the row that is furthest where that is later."""
    seen = [standing.counts[SUB_WINDOW] for standing in standings]
    latest = max(seen)
    if latest * SUB_WINDOW_MS <= now_ms:
        return [now_ms] * len(seen)
    return [now_ms if each == latest else latest * SUB_WINDOW_MS for each in seen]


def _as_held(record: UsageRecord, standings: Sequence[Standing]) -> UsageRecord:
    """A record that is corrected later tells where it is booked: where an extension is of which nobody heard, too."""
    id_ = record.request_id
    holds = [Hold.decode(id_, text) for each in standings if (text := each.holds.get(id_)) is not None]
    if not holds:
        return record
    hold = max(holds, key=lambda each: each.sub_window)
    return replace(record, sub_window=hold.sub_window, held_nanousd=hold.cost_nanousd)


def _settlement(
    standing: Standing, request_id: RequestId, actual: Actual, booked: UsageRecord | None, now_ms: int
) -> Plan:
    """Replace the hold, or what was booked for it when it was swept."""
    if request_id in standing.holds or booked is None:
        return decision.settle(standing, request_id, actual, now_ms)
    hold = Hold(request_id, booked.held_nanousd, booked.held_tokens, booked.sub_window)
    return decision.correct(standing, hold, actual, now_ms)


def _abandoned(changes: Sequence[Change], principal: Principal) -> tuple[UsageRecord, ...]:
    """A record for each swept hold. A user's row does not know whose key it was."""
    records: dict[str, UsageRecord] = {}
    for change in changes:
        own = change.row.startswith("key:")
        for hold in change.plan.swept:
            key_id = principal.key_id if own else KeyId("")
            records.setdefault(hold.id, abandoned_record(hold, key_id, principal.user))
    return tuple(records.values())


def _refusal(
    refusals: Sequence[tuple[str, Refused]],
    limits: Mapping[str, Limits],
    standings: Sequence[Standing],
    now_ms: int,
) -> LimitError:
    """The error, with what the caller may want to know to ask for less."""
    error = limit_error(refusals)
    error.headroom = _headroom(limits, standings, now_ms)
    if error.limit in MONEY:
        pairs = zip(standings, limits.values(), strict=True)
        error.room_nanousd = min(unspent(standing, bound, now_ms) for standing, bound in pairs)
    return error


def _headroom(limits: Mapping[str, Limits], standings: Sequence[Standing], now_ms: int) -> Headroom:
    """The tighter one of key and user, for requests and for tokens."""
    pairs = zip(standings, limits.values(), strict=True)
    return reduce(tighter, [headroom(standing, bound, now_ms) for standing, bound in pairs])


def _without_hold(ask: Ask) -> Admission:
    now = ask.now_ms // SUB_WINDOW_MS
    return Admission(ask, ask.cost_nanousd, now, NO_LIMITS, booked=False)


def _expired() -> StorageUnavailable:
    return StorageUnavailable("The request took so long that its hold has expired.")


def _contended() -> StorageContended:
    return StorageContended("The meter's row changes too fast. Try again.")
