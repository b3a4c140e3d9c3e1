"""`KeyStore` in DynamoDB: an item for each key, and one for each of its hashes, which points to it.

A key is found by two reads, so that there is one place that says what it may do, and is changed by its id as quickly as
it is found by a hash. What changes hashes, a rotation among it, is one transaction of the key and its pointers; and so
is everything else that is changed, since a transaction is carried out once, however often it is asked for.
"""

from collections.abc import Sequence
from typing import Any, Final

from common.adapters.dynamodb.client import ConditionFailed, DynamoClient, Item, TransactionCancelled
from common.adapters.dynamodb.expressions import KIND
from common.adapters.dynamodb.items import TRIES, get, indexed, named
from common.adapters.dynamodb.table import KINDS_INDEX
from common.adapters.dynamodb.usage import USERS_INDEX
from common.adapters.dynamodb.values import limits, texts, to_limits, to_number, to_texts
from common.model.errors import StorageContended
from common.model.ids import KeyId, UserId
from common.model.principal import KeyRecord

KEY: Final = "k"
_RECORD: Final = "key_record:"
_HASH: Final = "key_hash:"
_NEW: Final = "attribute_not_exists(pk)"
_OPTIONAL: Final = ("previous_hash", "grace_until_ms", "expires_ms")
_OF_VERSION: Final = "version = :version"


class DynamoKeyStore:
    """A `KeyStore`."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._client = client
        self._table = table

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        """See `KeyStore.find`."""
        pointer = await get(self._client, self._table, _HASH + key_hash.hex())
        if pointer is None:
            return None
        record = await self.get(KeyId(pointer["key_id"]["S"]))
        # between the two reads it may have been rotated
        return record if record is not None and key_hash in _hashes(record) else None

    async def get(self, key_id: KeyId) -> KeyRecord | None:
        """See `KeyStore.get`."""
        item = await get(self._client, self._table, _RECORD + key_id)
        return None if item is None else to_record(item)

    async def create(self, record: KeyRecord) -> None:
        """See `KeyStore.create`."""
        item = {**named(_RECORD + record.id), **_attributes(record), "version": {"N": str(record.version)}}
        if record.last_used_ms is not None:
            item["last_used_ms"] = {"N": str(record.last_used_ms)}
        put = {"Put": {"Item": item, "ConditionExpression": _NEW}}
        pointers = [self._point(each, record.id) for each in _hashes(record)]
        if not await self._transact([put, *pointers]):
            raise ValueError(f"a key with the id {record.id} or the same hash exists")

    async def list(self, user: UserId | None = None) -> Sequence[KeyRecord]:
        """See `KeyStore.list`."""
        items = await indexed(self._client, self._table, _all() if user is None else _of(user))
        return sorted(map(to_record, items), key=lambda record: (record.created_ms, record.id))

    async def update(self, record: KeyRecord) -> bool:
        """See `KeyStore.update`."""
        stored = await self.get(record.id)
        if stored is None or stored.version != record.version:
            return False
        before, after = _hashes(stored), _hashes(record)
        gone = [self._unpoint(each) for each in before if each not in after]
        new = [self._point(each, record.id) for each in after if each not in before]
        return await self._transact([{"Update": _change(record)}, *gone, *new])

    async def note_use(self, key_id: KeyId, at_ms: int) -> None:
        """See `KeyStore.note_use`."""
        asked = {
            "TableName": self._table,
            "Key": named(_RECORD + key_id),
            "UpdateExpression": "SET last_used_ms = :at",
            "ConditionExpression": "attribute_exists(pk)"
            " AND (attribute_not_exists(last_used_ms) OR last_used_ms < :at)",
            "ExpressionAttributeValues": {":at": {"N": str(at_ms)}},
        }
        try:
            await self._client.call("UpdateItem", asked)
        except ConditionFailed:
            return  # a later use is noted, or the key is gone

    async def delete(self, key_id: KeyId) -> bool:
        """See `KeyStore.delete`."""
        for _ in range(TRIES):
            stored = await self.get(key_id)
            if stored is None:
                return False
            delete = {
                "Key": named(_RECORD + key_id),
                "ConditionExpression": _OF_VERSION,
                "ExpressionAttributeValues": {":version": {"N": str(stored.version)}},
            }
            if await self._transact([{"Delete": delete}, *map(self._unpoint, _hashes(stored))]):
                return True
        raise StorageContended("Others are changing this key at the same time: try again.")

    async def _transact(self, writes: Sequence[dict[str, Any]]) -> bool:
        """All of them; False, and none, where a condition does not hold."""
        items = [
            {kind: {"TableName": self._table, **asked} for kind, asked in each.items()} for each in writes
        ]
        try:
            await self._client.transact(items)
        except TransactionCancelled:
            return False
        return True

    def _point(self, key_hash: bytes, key_id: KeyId) -> dict[str, Any]:
        item = {**named(_HASH + key_hash.hex()), "key_id": {"S": key_id}}
        return {"Put": {"Item": item, "ConditionExpression": _NEW}}

    def _unpoint(self, key_hash: bytes) -> dict[str, Any]:
        return {"Delete": {"Key": named(_HASH + key_hash.hex())}}


def _hashes(record: KeyRecord) -> Sequence[bytes]:
    """What it is found by, each once."""
    return [each for each in dict.fromkeys((record.key_hash, record.previous_hash)) if each is not None]


def _all() -> dict[str, Any]:
    return {
        "IndexName": KINDS_INDEX,
        "KeyConditionExpression": f"{KIND} = :kind",
        "ExpressionAttributeValues": {":kind": {"S": KEY}},
    }


def _of(user: UserId) -> dict[str, Any]:
    """What else is a user's, usage records above all, has another beginning."""
    return {
        "IndexName": USERS_INDEX,
        "KeyConditionExpression": "#user = :user AND begins_with(pk, :record)",
        "ExpressionAttributeNames": {"#user": "user"},  # a word that an expression may not name
        "ExpressionAttributeValues": {":user": {"S": user}, ":record": {"S": _RECORD}},
        "ProjectionExpression": "pk",
    }


def _change(record: KeyRecord) -> dict[str, Any]:
    """An update of everything but the id and the last use, to the next version."""
    attributes = {**_attributes(record), "version": {"N": str(record.version + 1)}}
    names = [*attributes, *(name for name in _OPTIONAL if name not in attributes)]
    places = {name: f"#{index}" for index, name in enumerate(names)}
    sets = ", ".join(f"{places[name]} = :{places[name][1:]}" for name in attributes)
    removes = ", ".join(places[name] for name in names[len(attributes) :])
    values = {f":{places[name][1:]}": value for name, value in attributes.items()}
    return {
        "Key": named(_RECORD + record.id),
        "ConditionExpression": _OF_VERSION,
        "UpdateExpression": f"SET {sets}" + (f" REMOVE {removes}" if removes else ""),
        "ExpressionAttributeNames": {place: name for name, place in places.items()},
        "ExpressionAttributeValues": {**values, ":version": {"N": str(record.version)}},
    }


def _attributes(record: KeyRecord) -> dict[str, Any]:
    """What an update changes; those of `_OPTIONAL` are left out where they are None."""
    numbers = {
        "created_ms": record.created_ms,
        "expires_ms": record.expires_ms,
        "grace_until_ms": record.grace_until_ms,
    }
    attributes: dict[str, Any] = {
        KIND: {"S": KEY},
        "hash": {"S": record.key_hash.hex()},
        "user": {"S": record.user},
        "name": {"S": record.name},
        "permissions": texts(sorted(record.permissions)),
        "plan": {"S": record.plan},
        "limits": limits(record.overrides),
        "models": texts(record.models),
        "origins": texts(record.origins),
        "disabled": {"BOOL": record.disabled},
        **{name: {"N": str(value)} for name, value in numbers.items() if value is not None},
    }
    if record.previous_hash is not None:
        attributes["previous_hash"] = {"S": record.previous_hash.hex()}
    return attributes


def to_record(item: Item) -> KeyRecord:
    """What an item says."""
    created_ms, version = to_number(item, "created_ms"), to_number(item, "version")
    assert created_ms is not None
    assert version is not None
    return KeyRecord(
        id=KeyId(item["pk"]["S"].removeprefix(_RECORD)),
        key_hash=bytes.fromhex(item["hash"]["S"]),
        user=UserId(item["user"]["S"]),
        name=item["name"]["S"],
        permissions=frozenset(to_texts(item, "permissions")),
        created_ms=created_ms,
        plan=item["plan"]["S"],
        overrides=to_limits(item, "limits"),
        models=tuple(to_texts(item, "models")),
        origins=tuple(to_texts(item, "origins")),
        expires_ms=to_number(item, "expires_ms"),
        disabled=item["disabled"]["BOOL"],
        previous_hash=bytes.fromhex(item["previous_hash"]["S"]) if "previous_hash" in item else None,
        grace_until_ms=to_number(item, "grace_until_ms"),
        last_used_ms=to_number(item, "last_used_ms"),
        version=version,
    )
