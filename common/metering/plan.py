"""A change of one row, as data: what must hold when it is written, and what is then written.

A plan is made from a standing that may be stale, and applied in one atomic step to the row as it is: if all guards
hold, every set is made, otherwise none. Sets read nothing but the attribute they change: they translate one by one.

    part        SQL                                          DynamoDB
    equal       a = ?                                        a = :v
    at_most     a <= ?                                       a <= :v
    holds       NOT EXISTS (SELECT 1 FROM json_each(?) g     h.#id = :v, attribute_not_exists(h.#id)
                WHERE json_extract(holds, '$."' || g.key
                || '"') IS NOT g.value)
    set_to      a = ?                                        SET a = :v
    add         a = a + ?                                    SET a = a + :v
    put         holds = json_patch(holds, ?), one object     SET h.#id = :v
    remove      for both, null for each that is removed      REMOVE h.#id

A new principal needs no kind of plan of its own: a row that is missing reads as `EMPTY`. The adapter writes that row
where there is none (columns that default to 0 and `INSERT ... ON CONFLICT DO NOTHING`; a put on the condition that the
item does not exist), and every plan then meets attributes that exist. An `attribute_not_exists(a) OR a <= :v` in every
guard, or an upsert that guards only one of its branches, would serve a case that a principal meets once.

A plan without sets is still a question to the store: only the row knows whether its guards hold.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from common.metering.standing import (
    COMMITTED_DAY,
    COMMITTED_MONTH,
    DAY_REQUESTS,
    DAY_TOKENS,
    IN_FLIGHT,
    Hold,
    Standing,
)
from common.metering.window import REQUESTS, RING, SUB_WINDOW, SUB_WINDOW_MS, TOKENS, same_day, same_month
from common.model.ids import RequestId

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class Plan(NamedTuple):
    """Guards, sets, and what the caller learns if it is applied. No attribute is both set and added to."""

    equal: Mapping[str, int] = _NOTHING
    at_most: Mapping[str, int] = _NOTHING
    holds: Mapping[RequestId, str | None] = _NOTHING  # as it must be; None: absent
    set_to: Mapping[str, int] = _NOTHING
    add: Mapping[str, int] = _NOTHING
    put: Mapping[RequestId, str] = _NOTHING
    remove: tuple[RequestId, ...] = ()
    hold: Hold | None = None  # of an admission or extension: what the request now holds
    swept: tuple[
        Hold, ...
    ] = ()  # expired, now spent: each needs an `estimated` record in the same transaction


def opened(standing: Standing, now_ms: int) -> Mapping[str, int]:
    """The counts as they are once something is booked at `now_ms`."""
    if now_ms // SUB_WINDOW_MS <= standing.counts[SUB_WINDOW]:
        return standing.counts
    draft = Draft(standing)
    draft.open(now_ms)
    return draft.counts


SWEPT_AT_ONCE: Final = 64  # a DynamoDB transaction takes 100 items, an expression 4 KB


class Draft:
    """A plan in the making, from one standing."""

    __slots__ = (
        *("add", "at_most", "counts", "equal", "holds", "index"),
        *("put", "remove", "set_to", "standing", "swept"),
    )

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.counts = standing.counts  # as they are after `open`, before anything is counted
        self.index: int = standing.counts[SUB_WINDOW]  # the row's open sub-window once the plan is applied
        self.equal: dict[str, int] = {}
        self.at_most: dict[str, int] = {}
        self.holds: dict[RequestId, str | None] = {}
        self.set_to: dict[str, int] = {}
        self.add: dict[str, int] = {}
        self.put: dict[RequestId, str] = {}
        self.remove: tuple[RequestId, ...] = ()
        self.swept: tuple[Hold, ...] = ()

    def open(self, now_ms: int) -> None:
        """Book in the sub-window of `now_ms`, or in the row's open one where that is later.

        Guards that the row's open one is still the one seen. Opening a new one clears what the ring and the periods
        held before, and is done from an exact view only: with the same count of requests nobody was admitted meanwhile,
        so no hold is unknown, and no expired one outlives the next admission.
        """
        seen, counts = self.index, self.standing.counts
        self.equal[SUB_WINDOW] = seen
        if now_ms // SUB_WINDOW_MS <= seen:
            return
        self.index = now_ms // SUB_WINDOW_MS
        self.equal[REQUESTS[seen % RING]] = counts[REQUESTS[seen % RING]]
        self.set_to[SUB_WINDOW] = self.index
        for cleared in range(max(seen, self.index - RING) + 1, self.index + 1):
            self.set_to[REQUESTS[cleared % RING]] = 0
            self.set_to[TOKENS[cleared % RING]] = 0
        if not same_day(seen, self.index):
            self.set_to |= {DAY_REQUESTS: 0, DAY_TOKENS: 0, COMMITTED_DAY: 0}
        if not same_month(seen, self.index):
            self.set_to[COMMITTED_MONTH] = 0
        self.counts = {**counts, **self.set_to}

    def bound(self, most: Mapping[str, int]) -> None:
        """Guard that attributes are at most so much; one that is set, or guarded to be as seen, needs none."""
        if self.set_to or not self.equal.keys().isdisjoint(most):
            kept = self.set_to.keys() | self.equal.keys()
            most = {name: value for name, value in most.items() if name not in kept}
        self.at_most.update(most)

    def count(self, amounts: Mapping[str, int]) -> None:
        """Add to attributes, after what `open` sets."""
        set_to, add = self.set_to, self.add
        if not set_to and add.keys().isdisjoint(amounts):  # as it is most often
            add.update({name: by for name, by in amounts.items() if by})
            return
        for name, by in amounts.items():
            if name in set_to:
                set_to[name] += by
            elif by:
                add[name] = add.get(name, 0) + by

    def keep(self, hold: Hold, instead_of: str | None) -> None:
        """Write a hold where the row has `instead_of`."""
        self.holds[hold.id] = instead_of
        self.put[hold.id] = hold.encode()

    def drop(self, hold_id: RequestId) -> Hold:
        """Remove a hold that must be in the row as it was seen."""
        text = self.standing.holds[hold_id]
        self.holds[hold_id] = text
        self.remove += (hold_id,)
        self.count({IN_FLIGHT: -1})
        return Hold.decode(hold_id, text)

    def sweep(self, now_ms: int) -> None:
        """Remove expired holds. What they hold stays committed: from now on it is spent."""
        expired = self.standing.expired(now_ms)
        if expired:
            self.swept = tuple([self.drop(hold_id) for hold_id in expired[:SWEPT_AT_ONCE]])

    def plan(self, hold: Hold | None = None) -> Plan:
        """The finished plan."""
        equal, at_most, holds = self.equal, self.at_most, self.holds
        return Plan(equal, at_most, holds, self.set_to, self.add, self.put, self.remove, hold, self.swept)
