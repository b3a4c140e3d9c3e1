"""`UserStore` in DynamoDB: an item for each user who has a record."""

from collections.abc import Sequence
from typing import Final

from common.adapters.dynamodb.client import DynamoClient, Item, TransactionCancelled
from common.adapters.dynamodb.expressions import KIND
from common.adapters.dynamodb.items import get, indexed, named
from common.adapters.dynamodb.table import KINDS_INDEX
from common.adapters.dynamodb.values import limits, to_limits
from common.model.ids import UserId
from common.model.principal import UserRecord

USER: Final = "u"
_RECORD: Final = "user_record:"


class DynamoUserStore:
    """A `UserStore`."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._client = client
        self._table = table

    async def find(self, user: UserId) -> UserRecord | None:
        """See `UserStore.find`."""
        item = await get(self._client, self._table, _RECORD + user)
        return None if item is None else to_record(item)

    async def put(self, record: UserRecord) -> bool:
        """See `UserStore.put`. A transaction of one item: it is carried out once, however often it is asked for."""
        put = {"TableName": self._table, "Item": to_item(record)}
        if record.version:
            put["ConditionExpression"] = "version = :version"
            put["ExpressionAttributeValues"] = {":version": {"N": str(record.version)}}
        else:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        try:
            await self._client.transact([{"Put": put}])
        except TransactionCancelled:
            return False
        return True

    async def list(self) -> Sequence[UserRecord]:
        """See `UserStore.list`. The index has them in their order."""
        query = {
            "IndexName": KINDS_INDEX,
            "KeyConditionExpression": f"{KIND} = :kind",
            "ExpressionAttributeValues": {":kind": {"S": USER}},
        }
        return [to_record(item) for item in await indexed(self._client, self._table, query)]


def to_item(record: UserRecord) -> Item:
    """The item of the next version."""
    return {
        **named(_RECORD + record.id),
        KIND: {"S": USER},
        "created_ms": {"N": str(record.created_ms)},
        "plan": {"S": record.plan},
        "limits": limits(record.overrides),
        "version": {"N": str(record.version + 1)},
    }


def to_record(item: Item) -> UserRecord:
    """What an item says."""
    return UserRecord(
        id=UserId(item["pk"]["S"].removeprefix(_RECORD)),
        created_ms=int(item["created_ms"]["N"]),
        plan=item["plan"]["S"],
        overrides=to_limits(item, "limits"),
        version=int(item["version"]["N"]),
    )
