"""Usage records as items, how each is written once, and `UsageStore`.

A record is one item under its request's id, with attributes named as the fields of `UsageRecord` and `Tokens`; its
route is one of JSON. What says nothing is left out: no tokens of a class, an empty string, a flag that is not set, a
value that is not known.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

from common.adapters.dynamodb.client import DynamoClient, Item
from common.adapters.dynamodb.expressions import AWAITING, KIND
from common.metering.sums import Summing, in_order
from common.model.ids import KeyId, RequestId, UserId
from common.model.usage import CountedIn, Outcome, Provisional, Tokens, UsageRecord
from common.model.usage_query import Booking, UsageQuery, UsageSum
from common.wire.usage_json import route_from_json, route_to_json

_CLASSES: Final = Tokens._fields
EXPIRY: Final = "ttl"
"""UTC second after which DynamoDB deletes an item, within days and without a charge."""

_DAY_S: Final = 86_400
USERS_INDEX: Final = "items_by_user"
_ALL: Final = {  # keys have users, too
    "FilterExpression": "begins_with(pk, :record)",
    "ExpressionAttributeValues": {":record": {"S": "req_"}},
}
SUMMED: Final = (
    *("key_id", "model", "outcome", "estimated", "cost_nanousd", "sub_window", "started_ms"),
    *(f"{name}_tokens" for name in _CLASSES),
)
"""What the index has of a record besides its keys: its user and its id."""

_UNKNOWN: Final = "attribute_not_exists(pk)"
_IS: Final = {each: f"attribute_exists({each})" for each in Provisional}
_ABANDONED: Final = _IS[Provisional.ABANDONED]


class DynamoUsageStore:
    """A `UsageStore`.

    Many records are read from the index `USERS_INDEX`, which has of each what sums are made of. Of some users that is
    a query for each, of the time that is asked for alone; of all users it is a scan of the whole index. A record
    without a user is not in it: that of a hold of a deleted key, which nobody has settled.
    """

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._client = client
        self._table = table

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `UsageStore.find`."""
        return await find_record(self._client, self._table, request_id)

    async def sums(self, query: UsageQuery) -> Sequence[UsageSum]:
        """See `UsageStore.sums`."""
        summing = Summing(query)
        for operation, asked in _reads(query):
            async for items in self._pages(operation, asked):
                summing.add(map(to_record, items))
        return in_order(summing.result())

    async def bookings(self) -> AsyncIterator[Booking]:
        """See `UsageStore.bookings`. A scan gives the items of one user together, by their sort key."""
        async for items in self._pages("Scan", _ALL):
            for record in map(to_record, items):
                yield Booking(
                    record.request_id, record.key_id, record.user, record.sub_window, record.cost_nanousd
                )

    async def _pages(self, operation: str, asked: Mapping[str, Any]) -> AsyncIterator[Sequence[Item]]:
        """All that is asked of the index, 1 MB at a time."""
        page: dict[str, Any] = {"TableName": self._table, "IndexName": USERS_INDEX, **asked}
        while True:
            reply = await self._client.call(operation, page)
            yield reply["Items"]
            if "LastEvaluatedKey" not in reply:
                return
            page["ExclusiveStartKey"] = reply["LastEvaluatedKey"]


def _reads(query: UsageQuery) -> Iterator[tuple[str, Mapping[str, Any]]]:
    first, last = query.ids
    between, values = "pk BETWEEN :first AND :last", {":first": {"S": first}, ":last": {"S": last}}
    if query.users is None:
        yield "Scan", {"FilterExpression": between, "ExpressionAttributeValues": values}
        return
    for user in sorted(query.users):
        yield (
            "Query",
            {
                "KeyConditionExpression": f"#user = :user AND {between}",
                "ExpressionAttributeNames": {"#user": "user"},  # a word that an expression may not name
                "ExpressionAttributeValues": {**values, ":user": {"S": user}},
            },
        )


async def find_record(client: DynamoClient, table: str, request_id: RequestId) -> UsageRecord | None:
    """The record of a request, as the last write left it."""
    key = {"pk": {"S": request_id}}
    reply = await client.call("GetItem", {"TableName": table, "Key": key, "ConsistentRead": True})
    return to_record(reply["Item"]) if "Item" in reply else None


def write_new(record: UsageRecord, keep_days: int | None = None) -> dict[str, Any]:
    """A put of the first record of a request."""
    return _put(record, keep_days, _UNKNOWN)


def write_settled(
    record: UsageRecord, corrects: Provisional | None, keep_days: int | None = None
) -> dict[str, Any]:
    """A put of `record` in the place of one that is what it `corrects`; else of none, or of one that is abandoned."""
    return _put(record, keep_days, f"{_UNKNOWN} OR {_ABANDONED}" if corrects is None else _IS[corrects])


def _put(record: UsageRecord, keep_days: int | None, condition: str) -> dict[str, Any]:
    return {"Item": to_item(record, keep_days), "ConditionExpression": condition}


def write_abandoned(record: UsageRecord, keep_days: int | None = None) -> dict[str, Any]:
    """An update that keeps what is there, and adds what is not: a key's row knows what a user's did not.

    Its condition fails for a request that is settled.
    """
    attributes = list(to_item(record, keep_days).items())[1:]
    return {
        "Key": {"pk": {"S": record.request_id}},
        "ConditionExpression": f"{_UNKNOWN} OR {_ABANDONED}",
        "UpdateExpression": "SET "
        + ", ".join(f"#{index} = if_not_exists(#{index}, :{index})" for index in range(len(attributes))),
        "ExpressionAttributeNames": {f"#{index}": name for index, (name, _) in enumerate(attributes)},
        "ExpressionAttributeValues": {f":{index}": value for index, (_, value) in enumerate(attributes)},
    }


def to_item(record: UsageRecord, keep_days: int | None = None) -> Item:
    """The item of a record, its key first. `keep_days`: after so many it may be deleted; None: never."""
    texts = {
        "key_id": record.key_id,
        "user": record.user,
        "model": record.model,
        "provider": record.provider,
        "upstream_model": record.upstream_model,
        "outcome": record.outcome,
        "route": route_to_json(record.route) if record.route else "",
        "session_id": record.session_id,
        "trace_id": record.trace_id,
        "end_user": record.end_user,
    }
    flags = {
        "streamed": record.streamed,
        "estimated": record.estimated,
        "abandoned": record.abandoned,
    }
    tokens = {name: getattr(record.tokens, name) or None for name in _CLASSES}
    numbers = {
        **{f"{name}_tokens": count for name, count in tokens.items()},
        "attempts": record.attempts,
        "cost_nanousd": record.cost_nanousd,
        "provider_cost_nanousd": record.provider_cost_nanousd,
        "held_nanousd": record.held_nanousd,
        "held_tokens": record.held_tokens,
        "sub_window": record.sub_window,
        "started_ms": record.started_ms,
        "first_byte_ms": record.first_byte_ms,
        "total_ms": record.total_ms,
        "gateway_us": record.gateway_us,
        "storage_us": record.storage_us,
        "awaiting": None if record.awaiting is None else int(record.awaiting),
        EXPIRY: None if keep_days is None else record.started_ms // 1000 + keep_days * _DAY_S,
    }
    return {
        "pk": {"S": record.request_id},
        **{name: {"S": text} for name, text in texts.items() if text},
        **{name: {"BOOL": True} for name, flag in flags.items() if flag},
        **{name: {"N": str(number)} for name, number in numbers.items() if number is not None},
        **({} if record.awaiting is None else {KIND: {"S": AWAITING}}),
    }


def to_record(item: Item) -> UsageRecord:
    """What an item says."""

    def text(name: str) -> str:
        return str(item[name]["S"]) if name in item else ""

    def number(name: str) -> int | None:
        return int(item[name]["N"]) if name in item else None

    awaiting = number("awaiting")
    return UsageRecord(
        request_id=RequestId(text("pk")),
        key_id=KeyId(text("key_id")),
        user=UserId(text("user")),
        model=text("model"),
        provider=text("provider"),
        upstream_model=text("upstream_model"),
        outcome=Outcome(text("outcome")),
        streamed="streamed" in item,
        attempts=number("attempts") or 0,
        tokens=Tokens(**{name: number(f"{name}_tokens") or 0 for name in _CLASSES}),
        estimated="estimated" in item,
        cost_nanousd=number("cost_nanousd") or 0,
        provider_cost_nanousd=number("provider_cost_nanousd"),
        held_nanousd=number("held_nanousd") or 0,
        held_tokens=number("held_tokens") or 0,
        sub_window=number("sub_window") or 0,
        abandoned="abandoned" in item,
        started_ms=number("started_ms") or 0,
        first_byte_ms=number("first_byte_ms"),
        total_ms=number("total_ms") or 0,
        gateway_us=number("gateway_us"),
        storage_us=number("storage_us"),
        route=route_from_json(text("route")) if "route" in item else (),
        session_id=text("session_id") or None,
        trace_id=text("trace_id") or None,
        end_user=text("end_user") or None,
        awaiting=None if awaiting is None else CountedIn(awaiting),
    )
