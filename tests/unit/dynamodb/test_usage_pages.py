"""How usage of many requests is asked of the index: what is named, and page after page."""

from collections.abc import Mapping
from typing import Any, Final

from common.adapters.dynamodb.usage import SUMMED, USERS_INDEX, DynamoUsageStore, to_item
from common.model.ids import UserId
from common.model.usage_query import ALL_TIME, UsageQuery
from tests.support.records import usage_record

START: Final = usage_record(1).started_ms
QUERY: Final = UsageQuery(start_ms=START, end_ms=START + 1, width_ms=ALL_TIME)
INDEXED: Final = {"pk", "user", *SUMMED}


class Paged:
    """A client whose index has one record on each page."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """See `DynamoClient.call`."""
        self.asked.append((operation, dict(payload)))
        number = len(self.asked)
        item = {name: value for name, value in to_item(usage_record(number)).items() if name in INDEXED}
        more = {"LastEvaluatedKey": {"pk": {"S": f"req_{number}"}}} if number < self.pages else {}
        return {"Items": [item], **more}


def store(client: Any) -> DynamoUsageStore:
    """On a table."""
    return DynamoUsageStore(client, "table")


async def test_pages() -> None:
    """A scan goes on where the page before has ended, and sums what all pages have, from what the index has of each."""
    client = Paged(3)
    (found,) = await store(client).sums(QUERY)
    records = [usage_record(number) for number in (1, 2, 3)]
    assert (found.totals.requests, found.totals.cost_nanousd) == (
        3,
        sum(each.cost_nanousd for each in records),
    )
    assert found.totals.tokens.total == sum(each.tokens.total for each in records)
    assert {operation for operation, _ in client.asked} == {"Scan"}
    assert [asked.get("ExclusiveStartKey") for _, asked in client.asked] == [
        None,
        {"pk": {"S": "req_1"}},
        {"pk": {"S": "req_2"}},
    ]


async def test_query_of_a_user() -> None:
    """Usage of a user is a query of its part of the index, within the ids of the time; the name is a value."""
    client = Paged(1)
    query = UsageQuery(start_ms=START, end_ms=START + 1, width_ms=ALL_TIME, users=frozenset({UserId("a'b")}))
    assert list(await store(client).sums(query)) == []  # the record is another user's
    ((operation, asked),) = client.asked
    first, last = query.ids
    assert (operation, asked["IndexName"]) == ("Query", USERS_INDEX)
    assert asked["KeyConditionExpression"] == "#user = :user AND pk BETWEEN :first AND :last"
    assert asked["ExpressionAttributeValues"] == {
        ":user": {"S": "a'b"},
        ":first": {"S": first},
        ":last": {"S": last},
    }
