"""Usage records as items."""

from dataclasses import replace
from typing import Final

import pytest

from common.adapters.dynamodb.usage import to_item, to_record, write_abandoned, write_new, write_settled
from common.model.ids import KeyId
from common.model.usage import Provisional, Tokens, UsageRecord
from common.wire.usage_json import route_to_json
from tests.support.records import as_of_old, usage_record

RECORD: Final = replace(
    usage_record(1), tokens=Tokens(input=12, output=40), provider_cost_nanousd=0, held_nanousd=4_123_456_789
)
OLD: Final = as_of_old(RECORD)
SWEPT: Final = replace(OLD, key_id=KeyId(""), provider="", first_byte_ms=None, abandoned=True, streamed=False)


def test_item() -> None:
    """A record is an item with attributes of its fields' names; what says nothing is left out."""
    assert to_item(RECORD) == {
        "pk": {"S": "req_0000000000000001"},
        "key_id": {"S": "key_000000000001"},
        "user": {"S": "ada"},
        "model": {"S": "fast"},
        "provider": {"S": "openrouter"},
        "upstream_model": {"S": "openai/gpt-4o-mini"},
        "outcome": {"S": "ok"},
        "route": {"S": route_to_json(RECORD.route)},
        "session_id": {"S": "chat 7; drop"},
        "trace_id": {"S": "0af7651916cd43dd8448eb211c80319c"},
        "end_user": {"S": "9f86d081884c7d659a2feaa0c55ad015"},
        "streamed": {"BOOL": True},
        "input_tokens": {"N": "12"},
        "output_tokens": {"N": "40"},
        "attempts": {"N": "2"},
        "cost_nanousd": {"N": "1234568"},
        "provider_cost_nanousd": {"N": "0"},
        "held_nanousd": {"N": "4123456789"},
        "held_tokens": {"N": "500"},
        "sub_window": {"N": "358000000"},
        "started_ms": {"N": "1790000000000"},
        "first_byte_ms": {"N": "180"},
        "total_ms": {"N": "2400"},
        "gateway_us": {"N": "18250"},
        "storage_us": {"N": "7125"},
    }


LATER: Final = {"gateway_us", "storage_us", "route", "session_id", "trace_id", "end_user"}


def test_old_item() -> None:
    """An item of before records had all their attributes is the record that it was made of."""
    old = {name: value for name, value in to_item(RECORD).items() if name not in LATER}
    assert to_record(old) == OLD
    assert to_item(OLD) == old


@pytest.mark.parametrize("record", [RECORD, OLD, SWEPT], ids=["settled", "old", "abandoned"])
def test_item_and_back(record: UsageRecord) -> None:
    """What an item says is the record that it was made of."""
    assert to_record(to_item(record)) == record


def test_conditions() -> None:
    """A settled record is written where there is none, or where there is an abandoned one."""
    assert write_new(RECORD)["ConditionExpression"] == "attribute_not_exists(pk)"
    either = "attribute_not_exists(pk) OR attribute_exists(abandoned)"
    assert write_settled(RECORD, None)["ConditionExpression"] == either
    assert (
        write_settled(RECORD, Provisional.ABANDONED)["ConditionExpression"] == "attribute_exists(abandoned)"
    )


def test_abandoned() -> None:
    """An abandoned record adds what is not there, and never touches one that is settled."""
    update = write_abandoned(SWEPT)
    names, values = update["ExpressionAttributeNames"], update["ExpressionAttributeValues"]
    assert update["Key"] == {"pk": {"S": SWEPT.request_id}}
    assert update["ConditionExpression"] == "attribute_not_exists(pk) OR attribute_exists(abandoned)"
    assert update["UpdateExpression"].startswith("SET #0 = if_not_exists(#0, :0), #1 = if_not_exists(#1, :1)")
    written = {name: values[f":{short[1:]}"] for short, name in names.items()}
    assert {"pk": {"S": SWEPT.request_id}, **written} == to_item(SWEPT)
