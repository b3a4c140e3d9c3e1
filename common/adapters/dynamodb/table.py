"""The table, and what is written to it: one table for everything, whose items say by their key what they are.

    pk                    item                        read                written
    `key:<key id>`        a key's meter row           by key, rarely      by each admission and settlement
    `user:<user id>`      a user's meter row          the same            the same
    `req_...`             a request's usage record    by key, rarely      once, by its settlement; also by a sweep
    `key_record:<key id>` an API key                  once a minute and   when it is changed; its last use once an hour
    `key_hash:<hash>`     its id, by each hash          process that      when it is made, rotated or deleted
    `user_record:<user>`  a user's plan and limits      serves the key    when they are changed
    `breaker:<target>`    a breaker that has moved    every 10 s while it     when it opens or closes
                                                        is called
    (see `expressions.py`, `usage.py`, `keys.py`, `users.py` and `breakers.py` for their attributes)

There is no sort key: each item is found by its name alone, strongly consistent, and a record must be found by its
request. The index `items_by_kind` lists the names of rows, for the sweep, and those of keys and users. What it holds of
an item never changes, so it is written when the item is made, and not by what is done to it ("Global secondary indexes"
in the developer guide). Only records that await a provider's figures come and go in it. A scan for the rows would read
every record that was ever kept: at 300 bytes, half a cent for each million of them, each time.

The index `items_by_user` has the keys of each user, and the records by their ids, which sort by time, with what sums
are made of: some 250 bytes. It costs one more write for each record, and lets a key read its own usage without that of
all others. Usage of all users is a scan of it: 0.4 cents for each million records that are kept, each time. An index by
time would spare that, at one more write for each record, all of a day to one partition.

Where a deployment bounds how long records are kept, each has `ttl`, the second after which DynamoDB deletes it.

Sizes: a row is 132 bytes when new, 1,014 with 32 holds of 60,000 tokens and $4 each in a busy key; a record about 300.

Cost, in write units (on demand $0.625 a million in us-east-1; 1 KB each):

    admission             1 for each row                            a refusal that only the row could tell: the same
    settlement            2 for the record, 1 for each row            one of them for the index of records
    withdrawal            1 (the user had no room; the key had)
    expired holds         2 for the row, 3 for each record          a transaction
    extension             1; of key and user 4                      the latter a transaction
    correction            3 for the record, 2 for each row          a transaction
    first sight of a row  1 read, and at its first admission 3 writes
    a sweep               1 read for each row (on demand $0.125 a million), and what it finds, as above
    usage                 1 read for each 8 KB of the index, some 30 records
    look-up of a key      2 reads, and 1 for its user               none while a process remembers it, 60 s
    a change of a key     1 read and 2; rotated 4 or 6              a transaction, as the two below
    a new key             6; deleted 6 or 8                         of which 2 for the indexes
    a change of a user    2; a new one 3

So a request under a key's and a user's limits costs 6 units, $3.75 a million. A partition takes 1,000 units a second:
plan for 400 requests a second and key.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from common.adapters.dynamodb.client import ConditionFailed, DynamoClient
from common.adapters.dynamodb.expressions import KIND, ROW, changes_nothing, expressions, to_item, to_standing
from common.adapters.dynamodb.items import TRIES, batch
from common.adapters.dynamodb.usage import (
    SUMMED,
    USERS_INDEX,
    to_record,
    write_abandoned,
    write_new,
    write_settled,
)
from common.metering.plan import Plan
from common.metering.rows import PAGE, Change, Records
from common.metering.standing import EMPTY, Standing
from common.model.errors import StorageContended
from common.model.usage import UsageRecord

KINDS_INDEX: Final = "items_by_kind"
_ALL_OLD: Final = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def create_table(name: str) -> dict[str, Any]:
    """The request for CreateTable. `infra/aws/table.yml` says the same, and what a deployment has besides."""
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": each, "AttributeType": "S"} for each in ("pk", KIND, "user")
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": KINDS_INDEX,
                "KeySchema": [
                    {"AttributeName": KIND, "KeyType": "HASH"},
                    {"AttributeName": "pk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
            {
                "IndexName": USERS_INDEX,
                "KeySchema": [
                    {"AttributeName": "user", "KeyType": "HASH"},
                    {"AttributeName": "pk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(SUMMED)},
            },
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }


def contended() -> StorageContended:
    """What is raised after `TRIES`."""
    return StorageContended("The meter's row changes too fast. Try again.")


class Table:
    """The single writes that `DynamoRows` is made of."""

    def __init__(self, client: DynamoClient, name: str, keep_days: int | None = None) -> None:
        """`keep_days`: usage records may be deleted after so many; None: never."""
        self.client = client
        self.name = name
        self._keep_days = keep_days

    async def read(self, rows: Sequence[str]) -> Sequence[Standing]:
        """See `Rows.read`."""
        items = await batch(self.client, self.name, rows)
        return [to_standing(items[row]) if row in items else EMPTY for row in rows]

    async def names(self, after: str, kind: str = ROW) -> Sequence[str]:
        """The next rows' names, at most `PAGE`; none: there are no more. One that was made just now may be missing.

        `kind`: of what else the index lists.
        """
        asked = {
            "TableName": self.name,
            "IndexName": KINDS_INDEX,
            "KeyConditionExpression": f"{KIND} = :kind AND pk > :after",
            # no key is empty
            "ExpressionAttributeValues": {":kind": {"S": kind}, ":after": {"S": after or " "}},
            "Limit": PAGE,
        }
        reply = await self.client.call("Query", asked)
        return [item["pk"]["S"] for item in reply["Items"]]

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
            await self.client.call(
                "PutItem", {"TableName": self.name, **write_new(record, self._keep_days), **_ALL_OLD}
            )
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
            items.append(("Put", write_settled(records.settled, records.corrects, self._keep_days)))
        items += [("Update", write_abandoned(record, self._keep_days)) for record in records.abandoned]
        named = {"TableName": self.name, **_ALL_OLD}
        await self.client.transact([{kind: {**item, **named}} for kind, item in items])

    def _change(self, row: str, plan: Plan) -> dict[str, Any]:
        return {"TableName": self.name, "Key": {"pk": {"S": row}}, **expressions(plan), **_ALL_OLD}


def carried_out(plan: Plan, standing: Standing) -> bool:
    """Whether a row has the holds that a plan puts and lacks those that it removes, as when only its reply was lost."""
    put = all(standing.holds.get(hold_id) == text for hold_id, text in plan.put.items())
    return bool(plan.put or plan.remove) and put and not any(id_ in standing.holds for id_ in plan.remove)
