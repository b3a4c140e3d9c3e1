"""Usage records as items, how each is written once, and `UsageStore`.

A record is one item under its request's id, with attributes named as the fields of `UsageRecord` and `Tokens`. What
says nothing is left out: no tokens of a class, an empty string, a flag that is not set, a value that is not known.
"""

from typing import Any, Final

from common.adapters.dynamodb.client import DynamoClient, Item
from common.model.ids import KeyId, RequestId, UserId
from common.model.usage import Outcome, Tokens, UsageRecord

_CLASSES: Final = Tokens._fields
_UNKNOWN: Final = "attribute_not_exists(pk)"
_ABANDONED: Final = "attribute_exists(abandoned)"


class DynamoUsageStore:
    """A `UsageStore`."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._client = client
        self._table = table

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `UsageStore.find`."""
        return await find_record(self._client, self._table, request_id)


async def find_record(client: DynamoClient, table: str, request_id: RequestId) -> UsageRecord | None:
    """The record of a request, as the last write left it."""
    key = {"pk": {"S": request_id}}
    reply = await client.call("GetItem", {"TableName": table, "Key": key, "ConsistentRead": True})
    return to_record(reply["Item"]) if "Item" in reply else None


def write_new(record: UsageRecord) -> dict[str, Any]:
    """A put of the first record of a request."""
    return _put(record, _UNKNOWN)


def write_settled(record: UsageRecord, *, corrects: bool) -> dict[str, Any]:
    """A put of `record` in the place of one that is abandoned, or, unless it `corrects`, of none."""
    return _put(record, _ABANDONED if corrects else f"{_UNKNOWN} OR {_ABANDONED}")


def _put(record: UsageRecord, condition: str) -> dict[str, Any]:
    return {"Item": to_item(record), "ConditionExpression": condition}


def write_abandoned(record: UsageRecord) -> dict[str, Any]:
    """An update that keeps what is there, and adds what is not: a key's row knows what a user's did not.

    Its condition fails for a request that is settled.
    """
    attributes = list(to_item(record).items())[1:]
    return {
        "Key": {"pk": {"S": record.request_id}},
        "ConditionExpression": f"{_UNKNOWN} OR {_ABANDONED}",
        "UpdateExpression": "SET "
        + ", ".join(f"#{index} = if_not_exists(#{index}, :{index})" for index in range(len(attributes))),
        "ExpressionAttributeNames": {f"#{index}": name for index, (name, _) in enumerate(attributes)},
        "ExpressionAttributeValues": {f":{index}": value for index, (_, value) in enumerate(attributes)},
    }


def to_item(record: UsageRecord) -> Item:
    """The item of a record, its key first."""
    texts = {
        "key_id": record.key_id,
        "user": record.user,
        "model": record.model,
        "provider": record.provider,
        "upstream_model": record.upstream_model,
        "outcome": record.outcome,
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
    }
    return {
        "pk": {"S": record.request_id},
        **{name: {"S": text} for name, text in texts.items() if text},
        **{name: {"BOOL": True} for name, flag in flags.items() if flag},
        **{name: {"N": str(number)} for name, number in numbers.items() if number is not None},
    }


def to_record(item: Item) -> UsageRecord:
    """What an item says."""

    def text(name: str) -> str:
        return str(item[name]["S"]) if name in item else ""

    def number(name: str) -> int | None:
        return int(item[name]["N"]) if name in item else None

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
    )
