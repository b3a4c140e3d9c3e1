"""What the meter needs of a storage engine: rows of principals, and records, changed together or not at all.

An engine translates and carries out; it decides nothing. `plan.py` has the table of what each part of a plan becomes.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from common.metering.plan import Plan
from common.metering.standing import Standing
from common.model.ids import RequestId
from common.model.record import record
from common.model.usage import Provisional, UsageRecord


class Change(NamedTuple):
    """A plan for one row."""

    row: str  # `key:` or `user:`, and its id
    plan: Plan


@record()
class Records:
    """What becomes of records along with changes: `settled` or `abandoned`, never both. Without changes, `settled`."""

    settled: UsageRecord | None = (
        None  # written unless the request has a record, or in place of an abandoned one
    )
    abandoned: tuple[
        UsageRecord, ...
    ] = ()  # of swept holds; each is written unless there is one for its request
    corrects: Provisional | None = (
        None  # guard: `settled` replaces a record that is this, or nothing is done at all
    )


class Outcome(NamedTuple):
    """Whether all was done, and the rows as they are now, in the order of the changes."""

    applied: bool
    standings: Sequence[Standing]


PAGE: Final = 100
"""Rows in one answer of `Rows.expired`, at most. As many keys as DynamoDB's BatchGetItem takes."""

Page: TypeAlias = Sequence[tuple[str, Standing]]
"""Rows by name."""


class Rows(Protocol):
    """Rows by name. One that is missing reads as `EMPTY`."""

    async def read(self, rows: Sequence[str]) -> Sequence[Standing]:
        """The rows as they are, in this order."""

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """Do all, if every guard of every plan holds; otherwise nothing. Asked again after a lost reply, it is safe.

        An engine that cannot change two rows at once changes them in order, and takes the first back (`withdraw`) where
        the second does not hold.
        """

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """The record of a request."""

    async def awaiting(self, after: str = "") -> Sequence[UsageRecord]:
        """At most `PAGE` records that await a provider's figures, by id, after `after`; none: there are no more."""

    async def expired(self, now_ms: int, after: str = "") -> Page:
        """Rows with a hold that has expired at `now_ms`, by name, those after `after`; none: there are no more.

        A row that is written meanwhile may be shown as it was, or be left out where it is new.
        """


class RowList(Protocol):
    """Rows that can be gone through."""

    async def page(self, after: str = "") -> Page:
        """At most `PAGE` rows by name, those after `after`; none: there are no more. Else as `expired`."""
