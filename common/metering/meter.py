"""The meter: decisions carried out on rows, with what every engine must do the same way.

- A plan is made from the standing that is remembered; where its guards fail, again from the row as it came back. Guards
  make a stale view harmless, so no read comes before a write.
- A request is booked in the same sub-window of all its rows, so its record tells its day and month for all of them.
- Nobody is refused on a remembered standing, except by a window of requests, for a second: time makes room there, and
  what may be given back is an admission that another row made void.
- A settlement that finds its hold swept corrects what was booked for it, in the transaction that corrects its record.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from common.metering import decision
from common.metering.budget import unspent
from common.metering.decision import Actual
from common.metering.headroom import headroom
from common.metering.plan import Plan
from common.metering.refusal import MONEY, limit_error
from common.metering.rows import Change, Records, Rows
from common.metering.standing import Hold, Standing
from common.metering.window import SUB_WINDOW, SUB_WINDOW_MS
from common.model.admission import Admission, Ask
from common.model.errors import LimitError, StorageUnavailable
from common.model.ids import KeyId, RequestId
from common.model.limits import Headroom, Limit, Limits, Reason, Refused, Room
from common.model.principal import Principal
from common.model.usage import Outcome, Tokens, UsageRecord
from common.ports import Clock

TRIES: Final = 8  # of one call: a row that turns faster than this is not to be had
_REMEMBERED: Final = 10_000
_FRESH_MS: Final = 1_000

Make = Callable[[str, Standing, int], Refused | Plan]
"""Of a row, its standing and the time."""


class _Seen(NamedTuple):
    """A standing, and when it was that of its row."""

    standing: Standing
    at_ms: int


class LimitMeter:
    """A `Meter` over any engine's rows."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    async def admit(self, ask: Ask) -> Admission:
        """See `Meter.admit`."""
        limits = ask.principal.limits
        if not limits:
            return Admission(ask, ask.cost_nanousd, ask.now_ms // SUB_WINDOW_MS, Headroom(None, None))
        asked = decision.Ask(ask.request_id, ask.cost_nanousd, ask.tokens)
        holds = await self._carry_out(
            limits,
            lambda row, standing, at_ms: decision.admit(standing, limits[row], asked, at_ms),
            ask.principal,
        )
        standings = [self._seen[row].standing for row in limits]
        return Admission(ask, ask.cost_nanousd, holds[0].sub_window, _headroom(limits, standings, ask.now_ms))

    async def extend(self, admission: Admission, more_nanousd: int) -> Admission:
        """See `Meter.extend`."""
        ask = admission.ask
        limits = ask.principal.limits
        if not limits:
            return replace(admission, held_nanousd=admission.held_nanousd + more_nanousd)
        held = Hold(ask.request_id, admission.held_nanousd, ask.tokens, admission.sub_window)

        def make(row: str, standing: Standing, at_ms: int) -> Refused | Plan:
            return decision.extend(standing, limits[row], held, more_nanousd, at_ms)

        holds = await self._carry_out(limits, make, ask.principal)
        return replace(admission, held_nanousd=holds[0].cost_nanousd, sub_window=holds[0].sub_window)

    async def settle(self, admission: Admission, record: UsageRecord) -> None:
        """See `Meter.settle`."""
        rows = list(admission.ask.principal.limits)
        actual, now_ms = Actual(record.cost_nanousd, record.tokens.total), self._clock.now_ms()
        standings, fresh = await self._standings(rows)
        for _ in range(TRIES):
            present = [record.request_id in standing.holds for standing in standings]
            booked: UsageRecord | None = None
            if not all(present):
                if not fresh:
                    standings, fresh = await self._read(rows), True
                    continue
                booked = await self._rows.find(record.request_id)
                if booked is not None and not booked.abandoned:
                    return
            changes = [
                Change(row, _settlement(standing, record.request_id, actual, booked, now_ms))
                for row, standing in zip(rows, standings, strict=True)
            ]
            outcome = await self._rows.apply(changes, Records(record, corrects=booked is not None))
            standings, fresh = outcome.standings, True
            self._remember(rows, standings)
            if outcome.applied:
                return
        raise _contended()

    async def _carry_out(
        self, limits: Mapping[str, Limits], make: Make, principal: Principal
    ) -> Sequence[Hold]:
        """Until the plans of all rows are applied together, or one row refuses. What each row then holds."""
        rows = list(limits)
        standings, fresh = await self._standings(rows)
        for _ in range(TRIES):
            now_ms = self._clock.now_ms()  # each time: M1 needs a write to be done within a second of it
            times = _booking_times(standings, now_ms)
            verdicts = [make(*each) for each in zip(rows, standings, times, strict=True)]
            plans = [
                verdict for verdict in verdicts if isinstance(verdict, Plan) and verdict.hold is not None
            ]
            if len(plans) < len(rows):
                refusals = [
                    (row, verdict)
                    for row, verdict in zip(rows, verdicts, strict=True)
                    if isinstance(verdict, Refused)
                ]
                if fresh or self._is_final(refusals):
                    raise _refusal(refusals, limits, standings, now_ms) if refusals else _expired()
                standings, fresh = await self._read(rows), True
                continue
            changes = [Change(row, plan) for row, plan in zip(rows, plans, strict=True)]
            outcome = await self._rows.apply(changes, Records(abandoned=_abandoned(changes, principal)))
            standings, fresh = outcome.standings, True
            self._remember(rows, standings)
            if outcome.applied:
                return [plan.hold for plan in plans if plan.hold is not None]
        raise _contended()

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
    latest = max(standing.counts[SUB_WINDOW] for standing in standings)
    later_ms = max(now_ms, latest * SUB_WINDOW_MS)
    return [now_ms if standing.counts[SUB_WINDOW] == latest else later_ms for standing in standings]


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
            records.setdefault(hold.id, _abandoned_record(hold, key_id, principal))
    return tuple(records.values())


def _abandoned_record(hold: Hold, key_id: KeyId, principal: Principal) -> UsageRecord:
    return UsageRecord(
        request_id=hold.id,
        key_id=key_id,
        user=principal.user,
        model="",
        provider="",
        upstream_model="",
        outcome=Outcome.GATEWAY,
        streamed=False,
        attempts=0,
        tokens=Tokens(),
        estimated=True,
        cost_nanousd=hold.cost_nanousd,
        provider_cost_nanousd=None,
        held_nanousd=hold.cost_nanousd,
        held_tokens=hold.tokens,
        sub_window=hold.sub_window,
        abandoned=True,
        started_ms=hold.sub_window * SUB_WINDOW_MS,
        first_byte_ms=None,
        total_ms=0,
    )


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
    rooms = [
        headroom(standing, bound, now_ms) for standing, bound in zip(standings, limits.values(), strict=True)
    ]
    return Headroom(_tightest([each.requests for each in rooms]), _tightest([each.tokens for each in rooms]))


def _tightest(rooms: Sequence[Room | None]) -> Room | None:
    return min((room for room in rooms if room is not None), key=lambda room: room.remaining, default=None)


def _expired() -> StorageUnavailable:
    return StorageUnavailable("The request took so long that its hold has expired.")


def _contended() -> StorageUnavailable:
    return StorageUnavailable("The meter's row changes too fast. Try again.")
