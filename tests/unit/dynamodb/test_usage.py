"""Usage records as items."""

from dataclasses import replace
from typing import Final

import pytest

from common.adapters.dynamodb.usage import to_item, to_record, write_abandoned, write_new, write_settled
from common.model.ids import KeyId, RequestId, UserId
from common.model.usage import Outcome, Tokens, UsageRecord

RECORD: Final = UsageRecord(
    request_id=RequestId("req_tlpxaw0000000001"),
    key_id=KeyId("key_000000000001"),
    user=UserId("ada"),
    model="fast",
    provider="openrouter",
    upstream_model="openai/gpt-4o-mini",
    outcome=Outcome.OK,
    streamed=True,
    attempts=2,
    tokens=Tokens(input=12, output=40),
    estimated=False,
    cost_nanousd=2_400_000,
    provider_cost_nanousd=0,
    held_nanousd=4_123_456_789,
    held_tokens=60_000,
    sub_window=358_000_000,
    abandoned=False,
    started_ms=1_790_000_000_000,
    first_byte_ms=180,
    total_ms=2_400,
)
SWEPT: Final = replace(
    RECORD, key_id=KeyId(""), provider="", first_byte_ms=None, abandoned=True, streamed=False
)


def test_item() -> None:
    """A record is an item with attributes of its fields' names; what says nothing is left out."""
    assert to_item(RECORD) == {
        "pk": {"S": "req_tlpxaw0000000001"},
        "key_id": {"S": "key_000000000001"},
        "user": {"S": "ada"},
        "model": {"S": "fast"},
        "provider": {"S": "openrouter"},
        "upstream_model": {"S": "openai/gpt-4o-mini"},
        "outcome": {"S": "ok"},
        "streamed": {"BOOL": True},
        "input_tokens": {"N": "12"},
        "output_tokens": {"N": "40"},
        "attempts": {"N": "2"},
        "cost_nanousd": {"N": "2400000"},
        "provider_cost_nanousd": {"N": "0"},
        "held_nanousd": {"N": "4123456789"},
        "held_tokens": {"N": "60000"},
        "sub_window": {"N": "358000000"},
        "started_ms": {"N": "1790000000000"},
        "first_byte_ms": {"N": "180"},
        "total_ms": {"N": "2400"},
    }


@pytest.mark.parametrize("record", [RECORD, SWEPT], ids=["settled", "abandoned"])
def test_item_and_back(record: UsageRecord) -> None:
    """What an item says is the record that it was made of."""
    assert to_record(to_item(record)) == record


def test_conditions() -> None:
    """A settled record is written where there is none, or where there is an abandoned one."""
    assert write_new(RECORD)["ConditionExpression"] == "attribute_not_exists(pk)"
    either = "attribute_not_exists(pk) OR attribute_exists(abandoned)"
    assert write_settled(RECORD, corrects=False)["ConditionExpression"] == either
    assert write_settled(RECORD, corrects=True)["ConditionExpression"] == "attribute_exists(abandoned)"


def test_abandoned() -> None:
    """An abandoned record adds what is not there, and never touches one that is settled."""
    update = write_abandoned(SWEPT)
    names, values = update["ExpressionAttributeNames"], update["ExpressionAttributeValues"]
    assert update["Key"] == {"pk": {"S": SWEPT.request_id}}
    assert update["ConditionExpression"] == "attribute_not_exists(pk) OR attribute_exists(abandoned)"
    assert update["UpdateExpression"].startswith("SET #0 = if_not_exists(#0, :0), #1 = if_not_exists(#1, :1)")
    written = {name: values[f":{short[1:]}"] for short, name in names.items()}
    assert {"pk": {"S": SWEPT.request_id}, **written} == to_item(SWEPT)
