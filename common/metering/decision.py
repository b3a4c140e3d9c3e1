"""The decision: one principal's standing, what is asked, the time; to a refusal or a plan. Pure, integers only.

    admit     guards  row's sub-window = seen;  counted + asked <= limit, for each limit;  hold absent
              sets    counts and committed += asked;  hold put;  expired holds removed
    extend    guards  row's sub-window = seen;  committed + more <= budget;  hold as seen
              sets    committed += more;  hold put
    settle    guards  hold as seen;  row's sub-window <= the last one with the same day, month and ring slot
              sets    committed += actual - held;  tokens += actual - estimated;  hold removed

Why the guards suffice (the standing may be stale, its plan may be applied at any later time):

M1  While the row's sub-window is as seen, closed request counts are as seen, and closed token counts may only have
    fallen. What may have grown is the open one alone, and `open count <= limit - asked - closed` is a guard. `window`
    shows what this means for real time: with clocks within 2 s and writes within 1 s, never one too many.
M2  `committed <= budget - asked` is a guard, and the row's sub-window says that it is still the same period; a new
    period begins at 0. Only settlement raises `committed` otherwise: by an overrun, which is spent already.
M3  Every settlement removes the hold that it is guarded by: a second one finds it absent and sets nothing.
M4  Nothing but `settle` and `withdraw` lowers `committed`. An expired hold leaves the row and stays committed;
    `correct` replaces it with what was used, together with its record, which knows whether that was done before.

How it is used. On a failed guard, call again with the row as it came back and the time read anew: `window` says how
soon after that a write must be done. A refusal is as true as its standing is fresh: read the row before refusing from
a remembered one. A key and its user are two standings with two plans; a request is admitted if both are applied.
"""

from dataclasses import dataclass
from typing import Final

from common.metering.checks import Asked, asked_of, enforce
from common.metering.plan import Draft, Plan
from common.metering.standing import (
    COMMITTED_DAY,
    COMMITTED_MONTH,
    COMMITTED_TOTAL,
    DAY_REQUESTS,
    DAY_TOKENS,
    IN_FLIGHT,
    Hold,
    Standing,
)
from common.metering.window import (
    REQUESTS,
    RING,
    SUB_WINDOW,
    TOKENS,
    next_day,
    next_month,
    same_day,
    same_month,
)
from common.model.ids import RequestId
from common.model.limits import Limits, Refused


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request may use at most. The id is the hold's, and tells when it expires."""

    hold_id: RequestId
    cost_nanousd: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Actual:
    """What one request did use, all its attempts together. Never negative: usage cannot credit."""

    cost_nanousd: int
    tokens: int

    def __post_init__(self) -> None:
        if self.cost_nanousd < 0 or self.tokens < 0:
            raise ValueError(f"usage cannot be negative: {self}")


UNSENT: Final = Actual(0, 0)  # of a request that was certainly never sent: settling with it releases the hold


def admit(standing: Standing, limits: Limits, ask: Ask, now_ms: int) -> Refused | Plan:
    """Take a request from the windows and hold what it may use. A hold that is there already was admitted before."""
    known = standing.holds.get(ask.hold_id)
    if known is not None:
        return Plan(holds={ask.hold_id: known}, hold=Hold.decode(ask.hold_id, known))
    draft = Draft(standing)
    draft.open(now_ms)
    draft.sweep(now_ms)
    cost = ask.cost_nanousd
    refused = enforce(draft, limits, asked_of(ask.tokens, cost), now_ms)
    if refused:
        return refused
    slot = draft.index % RING
    draft.count(
        {
            REQUESTS[slot]: 1,
            DAY_REQUESTS: 1,
            IN_FLIGHT: 1,
            TOKENS[slot]: ask.tokens,
            DAY_TOKENS: ask.tokens,
            COMMITTED_DAY: cost,
            COMMITTED_MONTH: cost,
            COMMITTED_TOTAL: cost,
        }
    )
    hold = Hold(ask.hold_id, cost, ask.tokens, draft.index)
    draft.keep(hold, instead_of=None)
    return draft.plan(hold)


def extend(standing: Standing, limits: Limits, hold: Hold, more_nanousd: int, now_ms: int) -> Refused | Plan:
    """Raise `hold`, as the caller knows it, by what one more attempt may cost; again is the same as once.

    A hold that is not in the row was settled or swept: the plan asks the row whether that is so, and has no `hold`.
    On a later day the whole hold is booked anew: its cost in the new day and, where that is new too, in the month, its
    tokens in the open sub-window (where they count without a check, like an excess).
    """
    text = standing.holds.get(hold.id)
    if text is None:
        return Plan(holds={hold.id: None})
    held = Hold.decode(hold.id, text)
    more = hold.cost_nanousd + more_nanousd - held.cost_nanousd
    if more <= 0:
        return Plan(holds={hold.id: text}, hold=held)
    draft = Draft(standing)
    draft.open(now_ms)
    anew, was = held.cost_nanousd + more, held.sub_window
    day = more if same_day(was, draft.index) else anew
    month = more if same_month(was, draft.index) else anew
    asked = Asked(requests=0, tokens=0, day=day, month=month, total=more)
    refused = enforce(draft, limits, asked, now_ms)
    if refused:
        return refused
    draft.count({COMMITTED_DAY: day, COMMITTED_MONTH: month, COMMITTED_TOTAL: more})
    if not same_day(was, draft.index):
        was = draft.index
        _count_tokens(draft, held.tokens)
    extended = Hold(hold.id, anew, held.tokens, was)
    draft.keep(extended, instead_of=text)
    return draft.plan(extended)


def settle(standing: Standing, hold_id: RequestId, actual: Actual, now_ms: int) -> Plan:
    """Replace a hold by what was used. One that is absent was settled or swept: the plan asks whether that is so."""
    if hold_id not in standing.holds:
        return Plan(holds={hold_id: None})
    draft = Draft(standing)
    _replace(draft, draft.drop(hold_id), actual, now_ms)
    return draft.plan()


def correct(standing: Standing, booked: Hold, actual: Actual, now_ms: int) -> Plan:
    """Replace what was booked for a hold that has left the row: swept, or settled with an estimate.

    The row cannot tell whether this was done before; the record can. Apply the plan only in the one transaction that
    turns the record from estimated to actual, `booked` being what the record says.
    """
    draft = Draft(standing)
    draft.holds[booked.id] = None
    _replace(draft, booked, actual, now_ms)
    return draft.plan()


def withdraw(standing: Standing, hold_id: RequestId, now_ms: int) -> Plan:
    """Undo an admission that another principal's limit made void, or that nobody heard of, so that nothing was sent.

    Its request is given back where its sub-window is open. Only for a hold that was not extended. Of a request that was
    admitted by all, the hold may be released (`UNSENT`), but the request stays counted.
    """
    if hold_id not in standing.holds:
        return Plan(holds={hold_id: None})
    draft = Draft(standing)
    hold = draft.drop(hold_id)
    if hold.sub_window == draft.index:
        draft.equal[SUB_WINDOW] = draft.index
        draft.count({REQUESTS[hold.sub_window % RING]: -1})
    if same_day(hold.sub_window, draft.index):
        draft.count({DAY_REQUESTS: -1})
    _replace(draft, hold, UNSENT, now_ms)
    return draft.plan()


def sweep(standing: Standing, now_ms: int) -> Plan:
    """Book expired holds as spent without an admission, for a principal that may not come back."""
    draft = Draft(standing)
    draft.sweep(now_ms)
    return draft.plan()


def _replace(draft: Draft, booked: Hold, actual: Actual, now_ms: int) -> None:
    """Book the differences where `booked` is booked, as far as the row still counts that; an excess of tokens, now."""
    more_tokens = actual.tokens - booked.tokens
    if more_tokens > 0:
        draft.open(now_ms)
        _count_tokens(draft, more_tokens)
    seen, was = draft.index, booked.sub_window
    more = actual.cost_nanousd - booked.cost_nanousd
    changes: dict[str, int] = {}
    last = []
    if more_tokens < 0 and seen - was < RING:
        changes[TOKENS[was % RING]] = more_tokens
        last.append(was + RING - 1)
    if same_day(was, seen):
        changes[DAY_TOKENS] = min(more_tokens, 0)
        changes[COMMITTED_DAY] = more
        last.append(next_day(seen) - 1)
    if same_month(was, seen):
        changes[COMMITTED_MONTH] = more
        last.append(next_month(seen) - 1)
    changes[COMMITTED_TOTAL] = more
    draft.count(changes)
    if last:
        draft.bound({SUB_WINDOW: min(last)})


def _count_tokens(draft: Draft, tokens: int) -> None:
    draft.count({TOKENS[draft.index % RING]: tokens, DAY_TOKENS: tokens})
