"""Items by their names, strongly consistent, and by an index, which gives names alone."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from common.adapters.dynamodb.client import DynamoClient, Item
from common.model.errors import StorageContended

TRIES: Final = 8  # of what others can come before
_MOST_AT_ONCE: Final = 100  # these are DynamoDB's own bounds
LONGEST_NAME: Final = 2_048  # bytes


def named(name: str) -> Item:
    """The key of an item."""
    return {"pk": {"S": name}}


async def get(client: DynamoClient, table: str, name: str) -> Item | None:
    """One item, as the last write left it. There is none whose name is longer than a name can be."""
    if len(name.encode()) > LONGEST_NAME:
        return None
    asked = {"TableName": table, "Key": named(name), "ConsistentRead": True}
    item: Item | None = (await client.call("GetItem", asked)).get("Item")
    return item


async def batch(client: DynamoClient, table: str, names: Sequence[str]) -> Mapping[str, Item]:
    """Those of these items that there are, by name."""
    found: dict[str, Item] = {}
    unique = list(dict.fromkeys(names))
    for first in range(0, len(unique), _MOST_AT_ONCE):
        wanted: Sequence[Item] = [named(name) for name in unique[first : first + _MOST_AT_ONCE]]
        for _ in range(TRIES):
            asked = {table: {"Keys": wanted, "ConsistentRead": True}}
            reply = await client.call("BatchGetItem", {"RequestItems": asked})
            found.update((item["pk"]["S"], item) for item in reply["Responses"].get(table, ()))
            wanted = reply.get("UnprocessedKeys", {}).get(table, {}).get("Keys", ())
            if not wanted:
                break
        else:
            raise StorageContended("The store is too busy just now. Try again.")
    return found


async def indexed(client: DynamoClient, table: str, query: Mapping[str, Any]) -> Sequence[Item]:
    """All items that a query of an index names, as they are now. One that was made just now may be missing."""
    page: dict[str, Any] = {"TableName": table, **query}
    names: list[str] = []
    while True:
        reply = await client.call("Query", page)
        names += [item["pk"]["S"] for item in reply["Items"]]
        if "LastEvaluatedKey" not in reply:
            break
        page["ExclusiveStartKey"] = reply["LastEvaluatedKey"]
    found = await batch(client, table, names)
    return [found[name] for name in names if name in found]
