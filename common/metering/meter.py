"""The meter: decisions carried out on rows, with what every engine must do the same way.

- A plan is made from the standing that is remembered; where its guards fail, again from the row as it came back, at the
  same instant. Guards make a stale view harmless, so no read comes before a write.
- Nobody is refused on a remembered standing, except by a window of requests, where time alone can make room.
- A settlement that finds its hold swept corrects what was booked for it, in the transaction that corrects its record.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from common.metering import decision
from common.metering.budget import unspent
from common.metering.decision import Actual
from common.metering.headroom import headroom
from common.metering.plan import Plan
from common.metering.refusal import MONEY, limit_error
from common.metering.rows import Change, Records, Rows
from common.metering.standing import Hold, Standing
from common.metering.window import SUB_WINDOW_MS
from common.model.admission import Admission, Ask
from common.model.errors import LimitError, StorageUnavailable
from common.model.ids import KeyId
from common.model.limits import Headroom, Limit, Limits, Reason, Refused, Room
from common.model.principal import Principal
from common.model.usage import Outcome, Tokens, UsageRecord
from common.ports import Clock

TRIES: Final = 8  # of one call: a row that turns faster than this is not to be had
_REMEMBERED: Final = 10_000

Make = Callable[[str, Standing], Refused | Plan]


class LimitMeter:
    """A `Meter` over any engine's rows."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._seen: OrderedDict[str, Standing] = OrderedDict()

    async def admit(self, ask: Ask) -> Admission:
        """See `Meter.admit`."""
        limits = ask.principal.limits
        if not limits:
            return Admission(ask, ask.cost_nanousd, ask.now_ms // SUB_WINDOW_MS, Headroom(None, None))
        asked = decision.Ask(ask.request_id, ask.cost_nanousd, ask.tokens)
        holds = await self._carry_out(
            limits,
            lambda row, standing: decision.admit(standing, limits[row], asked, ask.now_ms),
            ask.principal,
            ask.now_ms,
        )
        standings = [self._seen[row] for row in limits]
        return Admission(ask, ask.cost_nanousd, holds[0].sub_window, _headroom(limits, standings, ask.now_ms))

    async def extend(self, admission: Admission, more_nanousd: int) -> Admission:
        """See `Meter.extend`."""
        ask = admission.ask
        limits = ask.principal.limits
        if not limits:
            return replace(admission, held_nanousd=admission.held_nanousd + more_nanousd)
        now_ms = self._clock.now_ms()
        held = Hold(ask.request_id, admission.held_nanousd, ask.tokens, admission.sub_window)

        def make(row: str, standing: Standing) -> Refused | Plan:
            return decision.extend(standing, limits[row], held, more_nanousd, now_ms)

        holds = await self._carry_out(limits, make, ask.principal, now_ms)
        return replace(admission, held_nanousd=holds[0].cost_nanousd, sub_window=holds[0].sub_window)

    async def settle(self, admission: Admission, record: UsageRecord) -> None:
        """See `Meter.settle`."""
        rows = list(admission.ask.principal.limits)
        now_ms = self._clock.now_ms()
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
                Change(row, _settlement(standing, record, booked, now_ms))
                for row, standing in zip(rows, standings, strict=True)
            ]
            outcome = await self._rows.apply(changes, Records(record, corrects=booked is not None))
            standings, fresh = outcome.standings, True
            self._remember(rows, standings)
            if outcome.applied:
                return
        raise _contended()

    async def _carry_out(
        self, limits: Mapping[str, Limits], make: Make, principal: Principal, now_ms: int
    ) -> Sequence[Hold]:
        """Until the plans of all rows are applied together, or one row refuses. What each row then holds."""
        rows = list(limits)
        standings, fresh = await self._standings(rows)
        for _ in range(TRIES):
            verdicts = [make(row, standing) for row, standing in zip(rows, standings, strict=True)]
            refusals = [
                (row, verdict)
                for row, verdict in zip(rows, verdicts, strict=True)
                if isinstance(verdict, Refused)
            ]
            if refusals and (fresh or any(map(_is_final, refusals))):
                raise _refusal(refusals, limits, standings, now_ms)
            if refusals:
                standings, fresh = await self._read(rows), True
                continue
            plans = [verdict for verdict in verdicts if isinstance(verdict, Plan)]
            changes = [Change(row, plan) for row, plan in zip(rows, plans, strict=True)]
            outcome = await self._rows.apply(changes, Records(abandoned=_abandoned(changes, principal)))
            standings, fresh = outcome.standings, True
            self._remember(rows, standings)
            if outcome.applied:
                return [_held(plan) for plan in plans]
        raise _contended()

    async def _standings(self, rows: Sequence[str]) -> tuple[Sequence[Standing], bool]:
        """As remembered, or all read; and whether they were read."""
        remembered = [self._seen[row] for row in rows if row in self._seen]
        if len(remembered) == len(rows):
            return remembered, False
        return await self._read(rows), True

    async def _read(self, rows: Sequence[str]) -> Sequence[Standing]:
        standings = await self._rows.read(rows)
        self._remember(rows, standings)
        return standings

    def _remember(self, rows: Sequence[str], standings: Sequence[Standing]) -> None:
        for row, standing in zip(rows, standings, strict=True):
            self._seen[row] = standing
            self._seen.move_to_end(row)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)


def _held(plan: Plan) -> Hold:
    if plan.hold is None:
        raise StorageUnavailable("The request took so long that its hold has expired.")
    return plan.hold


def _is_final(refusal: tuple[str, Refused]) -> bool:
    """Closed sub-windows never change and the open one only grows: at this instant no newer row has more room."""
    _, refused = refusal
    return refused.limit is Limit.REQUESTS_PER_MINUTE and refused.reason is Reason.USED_UP


def _settlement(standing: Standing, record: UsageRecord, booked: UsageRecord | None, now_ms: int) -> Plan:
    """Replace the hold, or what was booked for it when it was swept."""
    actual = Actual(record.cost_nanousd, record.tokens.total)
    if record.request_id in standing.holds or booked is None:
        return decision.settle(standing, record.request_id, actual, now_ms)
    hold = Hold(record.request_id, booked.held_nanousd, booked.held_tokens, booked.sub_window)
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


def _contended() -> StorageUnavailable:
    return StorageUnavailable("The meter's row changes too fast. Try again.")
