"""The table, and what is written to it: one table for everything, whose items say by their key what they are.

    pk                    item                        read                written
    `key:<key id>`        a key's meter row           by key, rarely      by each admission and settlement
    `user:<user id>`      a user's meter row          the same            the same
    `req_...`             a request's usage record    by key, rarely      once, by its settlement; also by a sweep
    (see `expressions.py` and `usage.py` for their attributes)

There is no sort key: each item is found by its name alone, strongly consistent, and a record must be found by its
request. Lists of records, by key or user and time (request ids sort by time), are for indexes, which can be added to a
table that is in use; each costs one more write for each record.

Sizes: a row is 130 bytes when new, 1,012 with 32 holds of 60,000 tokens and $4 each in a busy key; a record about 300.

Cost, in write units (on demand $0.625 a million in us-east-1; 1 KB each):

    admission             1 for each row                            a refusal that only the row could tell: the same
    settlement            1 for the record, 1 for each row
    withdrawal            1 (the user had no room; the key had)
    expired holds         2 for the row, 2 for each record          a transaction
    extension             1; of key and user 4                      the latter a transaction
    correction            2 for the record, 2 for each row          a transaction
    first sight of a row  1 read, and at its first admission 2 writes

So a request under a key's and a user's limits costs 5 units, $3.1 a million. A partition takes 1,000 units a second:
plan for 400 requests a second and key.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from common.adapters.dynamodb.client import ConditionFailed, DynamoClient, Item
from common.adapters.dynamodb.expressions import changes_nothing, expressions, to_item, to_standing
from common.adapters.dynamodb.usage import to_record, write_abandoned, write_new, write_settled
from common.metering.plan import Plan
from common.metering.rows import Change, Records
from common.metering.standing import EMPTY, Standing
from common.model.errors import StorageUnavailable
from common.model.usage import UsageRecord

TRIES: Final = 8  # of what others can come before
_ALL_OLD: Final = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def create_table(name: str) -> dict[str, Any]:
    """The request for CreateTable. Backups, deletion protection and caps are the deployment's to add."""
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }


def contended() -> StorageUnavailable:
    """What is raised after `TRIES`."""
    return StorageUnavailable("The meter's row changes too fast. Try again.")


class Table:
    """The single writes that `DynamoRows` is made of."""

    def __init__(self, client: DynamoClient, name: str) -> None:
        self.client = client
        self.name = name

    async def read(self, rows: Sequence[str]) -> Sequence[Standing]:
        """See `Rows.read`."""
        found: dict[str, Standing] = {}
        wanted: Sequence[Item] = [{"pk": {"S": row}} for row in dict.fromkeys(rows)]
        for _ in range(TRIES):
            if not wanted:
                return [found.get(row, EMPTY) for row in rows]
            asked = {self.name: {"Keys": wanted, "ConsistentRead": True}}
            reply = await self.client.call("BatchGetItem", {"RequestItems": asked})
            items = reply["Responses"].get(self.name, ())
            found.update((item["pk"]["S"], to_standing(item)) for item in items)
            wanted = reply.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", ())
        raise contended()

    async def update(self, row: str, plan: Plan) -> tuple[bool, Standing]:
        """Whether the plan, which changes something, is applied, and the row as it is now."""
        asked = self._change(row, plan) | {"ReturnValues": "ALL_NEW"}
        for _ in range(TRIES):
            try:
                reply = await self.client.call("UpdateItem", asked)
            except ConditionFailed as failed:
                if failed.item is None:
                    await self.create(row)
                    continue
                standing = to_standing(failed.item)
                return failed.repeated and carried_out(plan, standing), standing
            return True, to_standing(reply["Attributes"])
        raise contended()

    async def create(self, row: str) -> None:
        """See that there is such a row."""
        put = {"TableName": self.name, "Item": to_item(row)}
        try:
            await self.client.call("PutItem", put | {"ConditionExpression": "attribute_not_exists(pk)"})
        except ConditionFailed:
            return  # somebody else was first

    async def keep(self, record: UsageRecord) -> UsageRecord:
        """Write a request's first record. What is its record now: this very object if it was written."""
        try:
            await self.client.call("PutItem", {"TableName": self.name, **write_new(record), **_ALL_OLD})
        except ConditionFailed as failed:
            known = to_record(failed.item or {})  # there is one: that is what failed
            return record if failed.repeated and known == record else known
        return record

    async def transact(self, changes: Sequence[Change], records: Records) -> None:
        """All or nothing; `TransactionCancelled` has a reason for each change, for `settled`, for each `abandoned`."""
        items: list[tuple[str, Mapping[str, Any]]] = []
        for change in changes:
            kind = "ConditionCheck" if changes_nothing(change.plan) else "Update"
            items.append((kind, self._change(change.row, change.plan)))
        if records.settled is not None:
            items.append(("Put", write_settled(records.settled, corrects=records.corrects)))
        items += [("Update", write_abandoned(record)) for record in records.abandoned]
        named = {"TableName": self.name, **_ALL_OLD}
        await self.client.transact([{kind: {**item, **named}} for kind, item in items])

    def _change(self, row: str, plan: Plan) -> dict[str, Any]:
        return {"TableName": self.name, "Key": {"pk": {"S": row}}, **expressions(plan), **_ALL_OLD}


def carried_out(plan: Plan, standing: Standing) -> bool:
    """Whether a row has the holds that a plan puts and lacks those that it removes, as when only its reply was lost."""
    put = all(standing.holds.get(hold_id) == text for hold_id, text in plan.put.items())
    return bool(plan.put or plan.remove) and put and not any(id_ in standing.holds for id_ in plan.remove)
