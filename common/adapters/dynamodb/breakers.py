"""`BreakerStore` in DynamoDB: an item for each name, which DynamoDB deletes some time after it has expired."""

from collections.abc import Mapping, Sequence
from typing import Final

from common.adapters.dynamodb.client import DynamoClient
from common.adapters.dynamodb.items import LONGEST_NAME, batch, named
from common.ports import BREAKER_KEPT_S, Clock

_BREAKER: Final = "breaker:"


class DynamoBreakerStore:
    """A `BreakerStore`."""

    def __init__(self, client: DynamoClient, table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    async def read(self, names: Sequence[str]) -> Mapping[str, str]:
        """See `BreakerStore.read`. An item may be there for days after its time."""
        now_s = self._clock.now_ms() // 1000
        wanted = [_BREAKER + name for name in names if _is_kept(name)]
        items = await batch(self._client, self._table, wanted)
        return {
            name.removeprefix(_BREAKER): item["state"]["S"]
            for name, item in items.items()
            if int(item["ttl"]["N"]) > now_s
        }

    async def publish(self, name: str, state: str) -> None:
        """See `BreakerStore.publish`."""
        if not _is_kept(name):
            return
        expires_s = self._clock.now_ms() // 1000 + BREAKER_KEPT_S
        item = {**named(_BREAKER + name), "state": {"S": state}, "ttl": {"N": str(expires_s)}}
        await self._client.call("PutItem", {"TableName": self._table, "Item": item})


def _is_kept(name: str) -> bool:
    return len(_BREAKER) + len(name.encode()) <= LONGEST_NAME
