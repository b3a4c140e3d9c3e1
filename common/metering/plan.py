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
from dataclasses import dataclass, field
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Plan:
    """Guards, sets, and what the caller learns if it is applied. No attribute is both set and added to."""

    equal: Mapping[str, int] = field(default_factory=dict)
    at_most: Mapping[str, int] = field(default_factory=dict)
    holds: Mapping[RequestId, str | None] = field(default_factory=dict)  # as it must be; None: absent
    set_to: Mapping[str, int] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    put: Mapping[RequestId, str] = field(default_factory=dict)
    remove: tuple[RequestId, ...] = ()
    hold: Hold | None = None  # of an admission or extension: what the request now holds
    swept: tuple[
        Hold, ...
    ] = ()  # expired, now spent: each needs an `estimated` record in the same transaction


SWEPT_AT_ONCE: Final = 64  # a DynamoDB transaction takes 100 items, an expression 4 KB


class Draft:
    """A plan in the making, from one standing."""

    __slots__ = ("add", "at_most", "equal", "holds", "index", "put", "remove", "set_to", "standing", "swept")

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.index: int = standing.counts[SUB_WINDOW]  # the row's open sub-window once the plan is applied
        self.equal: dict[str, int] = {}
        self.at_most: dict[str, int] = {}
        self.holds: dict[RequestId, str | None] = {}
        self.set_to: dict[str, int] = {}
        self.add: dict[str, int] = {}
        self.put: dict[RequestId, str] = {}
        self.remove: list[RequestId] = []
        self.swept: list[Hold] = []

    def open(self, now_ms: int) -> None:
        """Book in the sub-window of `now_ms`, or in the row's open one where that is later.

        Guards that the row's open one is still the one seen. Opening a new one clears what the ring and the periods
        held before, and is done from an exact view only: with the same count of requests nobody was admitted meanwhile,
        so no hold is unknown, and no expired one outlives the next admission.
        """
        seen, counts = self.index, self.standing.counts
        self.index = max(now_ms // SUB_WINDOW_MS, seen)
        self.equal[SUB_WINDOW] = seen
        if self.index == seen:
            return
        self.equal[REQUESTS[seen % RING]] = counts[REQUESTS[seen % RING]]
        self.set_to[SUB_WINDOW] = self.index
        for cleared in range(max(seen, self.index - RING) + 1, self.index + 1):
            self.set_to[REQUESTS[cleared % RING]] = 0
            self.set_to[TOKENS[cleared % RING]] = 0
        if not same_day(seen, self.index):
            self.set_to |= {DAY_REQUESTS: 0, DAY_TOKENS: 0, COMMITTED_DAY: 0}
        if not same_month(seen, self.index):
            self.set_to[COMMITTED_MONTH] = 0

    def value(self, name: str) -> int:
        """An attribute as the standing has it, or as it is after `open`."""
        return self.set_to.get(name, self.standing.counts[name])

    def bound(self, name: str, most: int) -> None:
        """Guard that an attribute is at most `most`; one that is set, or guarded to be as seen, needs none."""
        if name not in self.set_to and name not in self.equal:
            self.at_most[name] = most

    def count(self, name: str, by: int) -> None:
        """Add to an attribute, after what `open` sets."""
        if name in self.set_to:
            self.set_to[name] += by
        elif by:
            self.add[name] = self.add.get(name, 0) + by

    def keep(self, hold: Hold, instead_of: str | None) -> None:
        """Write a hold where the row has `instead_of`."""
        self.holds[hold.id] = instead_of
        self.put[hold.id] = hold.encode()

    def drop(self, hold_id: RequestId) -> Hold:
        """Remove a hold that must be in the row as it was seen."""
        text = self.standing.holds[hold_id]
        self.holds[hold_id] = text
        self.remove.append(hold_id)
        self.count(IN_FLIGHT, -1)
        return Hold.decode(hold_id, text)

    def sweep(self, now_ms: int) -> None:
        """Remove expired holds. What they hold stays committed: from now on it is spent."""
        self.swept = [self.drop(hold_id) for hold_id in self.standing.expired(now_ms)[:SWEPT_AT_ONCE]]

    def plan(self, hold: Hold | None = None) -> Plan:
        """The finished plan."""
        return Plan(
            equal=self.equal,
            at_most=self.at_most,
            holds=self.holds,
            set_to=self.set_to,
            add=self.add,
            put=self.put,
            remove=tuple(self.remove),
            hold=hold,
            swept=tuple(self.swept),
        )
