"""The meter's rows in DynamoDB: one conditional update for each row, transactions only for what is rare.

A transaction costs twice its writes, and while it lasts other writes of its items fail. So what every request does goes
without one, in an order that leaves nothing in doubt wherever the process dies:

- An admission takes from the key, then from the user. Where the user has no room, the key's hold is withdrawn; so it is
  where a write failed or was cancelled. A process that dies between the two leaves a hold that expires.
- A settlement writes the record, then the rows. From then on the record tells what its holds cost: whoever finds one of
  them, to settle it again or because it has expired, books it with what the record says. So a settlement whose guards
  fail is planned again here, until its holds are gone. An expired hold leaves an abandoned record on the condition that
  none is settled: only one of the two can come first.
- Everything else is one transaction: expired holds with their records, an extension of two rows, a correction.

An update answers with the row as it is; after a transaction, and where a row was not reached, it is read.

Not covered: an admission that the network delivers after its request was settled. Its hold expires, and what the record
says is booked in that row once more.
"""

from collections.abc import Sequence

from common.adapters.dynamodb.client import DynamoClient, TransactionCancelled
from common.adapters.dynamodb.expressions import AWAITING, changes_nothing
from common.adapters.dynamodb.items import TRIES
from common.adapters.dynamodb.table import Table, carried_out, contended
from common.adapters.dynamodb.usage import find_record, to_record
from common.metering import decision
from common.metering.apply import apply
from common.metering.decision import Actual
from common.metering.plan import Plan
from common.metering.rows import Change, Outcome, Page, Records
from common.metering.standing import Standing
from common.model.errors import StorageUnavailable
from common.model.ids import RequestId
from common.model.usage import UsageRecord
from common.ports import Background, Clock


class DynamoRows:
    """`Rows` in one table."""

    def __init__(
        self,
        client: DynamoClient,
        table: str,
        clock: Clock,
        background: Background,
        *,
        keep_days: int | None = None,
    ) -> None:
        """`background`: for giving back what was held for a request that was cancelled meanwhile.

        `keep_days`: usage records may be deleted after so many; None: never.
        """
        self._table = Table(client, table, keep_days)
        self._clock = clock
        self._background = background

    async def read(self, rows: Sequence[str]) -> Sequence[Standing]:
        """See `Rows.read`."""
        return await self._table.read(rows)

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `Rows.find`."""
        return await find_record(self._table.client, self._table.name, request_id)

    async def awaiting(self, after: str = "") -> Sequence[UsageRecord]:
        """See `Rows.awaiting`. The index may still list one that awaits nothing any more."""
        while names := await self._table.names(after, AWAITING):
            each = [await self.find(RequestId(name)) for name in names]
            if found := [record for record in each if record is not None and record.awaiting is not None]:
                return found
            after = names[-1]
        return []

    async def expired(self, now_ms: int, after: str = "") -> Page:
        """See `Rows.expired`."""
        while names := await self._table.names(after):
            standings = zip(names, await self._table.read(names), strict=True)
            if found := [(name, standing) for name, standing in standings if standing.expired(now_ms)]:
                return found
            after = names[-1]
        return []

    async def page(self, after: str = "") -> Page:
        """See `RowList.page`."""
        names = await self._table.names(after)
        return list(zip(names, await self._table.read(names), strict=True))

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """See `Rows.apply`."""
        plans = [change.plan for change in changes]
        if _is_settlement(plans, records):
            return await self._settle(changes, records)
        if _goes_in_turn(plans, records):
            return await self._in_turn(changes, records)
        return await self._together(changes, records)

    # -- admissions, and whatever else changes one row

    async def _in_turn(self, changes: Sequence[Change], records: Records) -> Outcome:
        standings: list[Standing] = []
        try:
            for change in changes:
                applied, standing = await self._one(change, records.abandoned)
                standings.append(standing)
                if not applied:
                    return Outcome(applied=False, standings=await self._undone(changes, standings))
        except StorageUnavailable:
            # before it is raised: who asks again must find the hold, or none, but not one that is about to go
            await self._take_back(changes)
            raise
        except BaseException:
            self._background.run(self._take_back(changes))
            raise
        return Outcome(applied=True, standings=standings)

    async def _one(self, change: Change, abandoned: Sequence[UsageRecord] = ()) -> tuple[bool, Standing]:
        """Whether the plan is applied, and the row as it is now."""
        plan = change.plan
        if changes_nothing(plan):
            (standing,) = await self._table.read([change.row])
            return apply(standing, plan) is not None, standing
        if not plan.swept:
            return await self._table.update(change.row, plan)
        swept = {hold.id for hold in plan.swept}
        own = tuple(record for record in abandoned if record.request_id in swept)
        outcome = await self._together([change], Records(abandoned=own))
        return outcome.applied, outcome.standings[0]

    async def _undone(self, changes: Sequence[Change], standings: Sequence[Standing]) -> Sequence[Standing]:
        """All rows, after the admissions before the last of those `standings` are withdrawn."""
        *done, last = standings
        withdrawn = []
        for change, standing in zip(changes, done, strict=False):
            gone, standing_now = await self._withdraw(change, standing)
            if not gone:  # to admit it once more would be to book it twice
                raise StorageUnavailable("The request took so long that its hold has expired.")
            withdrawn.append(standing_now)
        return [
            *withdrawn,
            last,
            *await self._table.read([change.row for change in changes[len(standings) :]]),
        ]

    async def _withdraw(self, change: Change, standing: Standing) -> tuple[bool, Standing]:
        """Undo an admission; whether it was there to be undone."""
        hold_id = _admits(change.plan)
        for _ in range(TRIES):
            plan = decision.withdraw(standing, hold_id, self._clock.now_ms()) if hold_id else Plan()
            if changes_nothing(plan):
                return hold_id is None, standing
            applied, standing = await self._table.update(change.row, plan)
            if applied:
                return True, standing
        raise contended()

    async def _take_back(self, changes: Sequence[Change]) -> None:
        """Of an admission that nobody hears of: its holds would expire as if the request had been sent."""
        for change in changes:
            if _admits(change.plan):
                (standing,) = await self._table.read([change.row])
                await self._withdraw(change, standing)

    # -- settlements

    async def _settle(self, changes: Sequence[Change], records: Records) -> Outcome:
        record = records.settled
        assert record is not None
        kept = await self._table.keep(record)
        if kept.abandoned:
            return await self._together(changes, records)
        done, standings = [], []
        for change in changes:
            if kept == record:
                applied, standing = await self._one(change)
            else:
                applied, (standing,) = False, await self._table.read([change.row])
            if not applied:
                applied, standing = await self._book(change.row, kept, standing)
            done.append(applied)
            standings.append(standing)
        return Outcome(applied=kept is record or all(done), standings=standings)

    async def _book(self, row: str, record: UsageRecord, standing: Standing) -> tuple[bool, Standing]:
        """See that a settled request holds nothing in the row; whether it did."""
        actual = Actual(record.cost_nanousd, record.tokens.total)
        for _ in range(TRIES):
            plan = decision.settle(standing, record.request_id, actual, self._clock.now_ms())
            if changes_nothing(plan):
                return False, standing
            applied, standing = await self._table.update(row, plan)
            if applied:
                return True, standing
        raise contended()

    # -- transactions

    async def _together(self, changes: Sequence[Change], records: Records) -> Outcome:
        rows = [change.row for change in changes]
        for _ in range(TRIES):
            try:
                if changes or records.settled or records.abandoned:
                    await self._table.transact(changes, records)
                return Outcome(applied=True, standings=await self._table.read(rows))
            except TransactionCancelled as failed:
                cancelled = failed
            of_rows, of_records = cancelled.reasons[: len(rows)], cancelled.reasons[len(rows) :]
            missing = [row for row, each in zip(rows, of_rows, strict=True) if each.failed and not each.item]
            if missing:
                for row in missing:
                    await self._table.create(row)
                continue
            kept = [to_record(each.item) for each in of_records if each.failed and each.item]
            booked = [await self._book_expired(changes, record) for record in kept]
            if records.corrects or any(booked) or any(each.failed for each in of_rows):
                standings = await self._table.read(rows)
                done = cancelled.repeated and all(
                    carried_out(change.plan, standing)
                    for change, standing in zip(changes, standings, strict=True)
                )
                return Outcome(applied=done, standings=standings)
            records = _without(records, kept)
        raise contended()

    async def _book_expired(self, changes: Sequence[Change], record: UsageRecord) -> bool:
        """Where a hold is about to be swept whose request is settled: that has not come to these rows yet."""
        expired = [change.row for change in changes if record.request_id in change.plan.remove]
        for row, standing in zip(expired, await self._table.read(expired), strict=True):
            await self._book(row, record, standing)
        return bool(expired)


def _admits(plan: Plan) -> RequestId | None:
    """The hold of an admission: one that a plan puts where there is none."""
    hold = plan.hold
    return hold.id if hold is not None and hold.id in plan.put and plan.holds[hold.id] is None else None


def _goes_in_turn(plans: Sequence[Plan], records: Records) -> bool:
    """Whether each row can be written by itself, with the records of what is swept from it."""
    swept = {hold.id for plan in plans for hold in plan.swept}
    return (
        records.settled is None
        and all(record.request_id in swept for record in records.abandoned)
        and (len(plans) == 1 or all(changes_nothing(plan) or _admits(plan) for plan in plans))
    )


def _is_settlement(plans: Sequence[Plan], records: Records) -> bool:
    """Whether every plan replaces the request's hold by what was used, or asks whether that is done."""
    record = records.settled
    if record is None or records.corrects or records.abandoned:
        return False
    id_ = record.request_id
    return all(plan.remove == (id_,) if plan.remove else plan == Plan(holds={id_: None}) for plan in plans)


def _without(records: Records, kept: Sequence[UsageRecord]) -> Records:
    """What is still to be written where these requests have records, which stay."""
    known = {record.request_id for record in kept}
    settled = records.settled
    return Records(
        settled=None if settled is None or settled.request_id in known else settled,
        abandoned=tuple(record for record in records.abandoned if record.request_id not in known),
    )
