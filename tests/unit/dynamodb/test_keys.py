"""Keys and users in DynamoDB: what goes over the wire, and what others or lost answers do in between."""

from dataclasses import replace
from typing import Any, Final

import pytest

from common.access.api_key import hash_key
from common.adapters.dynamodb.keys import DynamoKeyStore
from common.adapters.dynamodb.users import DynamoUserStore
from common.model.errors import StorageUnavailable
from common.model.ids import KeyId, UserId
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord, UserRecord
from tests.support.dynamodb import Fault, LocalDynamo, Lossy

FIRST, SECOND, THIRD = (hash_key(name) for name in ("first", "second", "third"))
MADE: Final = KeyRecord(KeyId("key_1"), FIRST, UserId("ada"), "laptop", DEFAULT_PERMISSIONS, created_ms=1)
ROTATED: Final = replace(MADE, key_hash=SECOND, previous_hash=FIRST, grace_until_ms=9)
ADA: Final = UserRecord(UserId("ada"), created_ms=1, plan="basic")


async def names(dynamo: LocalDynamo) -> set[str]:
    """All items that there are."""
    reply = await dynamo.client().call("Scan", {"TableName": dynamo.table, "ConsistentRead": True})
    return {item["pk"]["S"] for item in reply["Items"]}


async def test_calls(dynamo: LocalDynamo) -> None:
    """A key is found by two reads; what changes it is one transaction."""
    client = dynamo.client()
    keys = DynamoKeyStore(client, dynamo.table)
    await keys.create(MADE)
    assert client.operations == ["TransactWriteItems"]
    await keys.find(FIRST)
    assert client.operations[1:] == ["GetItem", "GetItem"]
    await keys.update(ROTATED)
    assert client.operations[3:] == ["GetItem", "TransactWriteItems"]
    await keys.delete(MADE.id)
    assert client.operations[5:] == ["GetItem", "TransactWriteItems"]


async def test_nothing_is_left(dynamo: LocalDynamo) -> None:
    """A key has one item, and one for each hash by which it is found; its deletion leaves none."""
    keys = dynamo.keys()
    await keys.create(MADE)
    await keys.update(ROTATED)
    await keys.update(replace(ROTATED, key_hash=THIRD, previous_hash=SECOND, version=2))
    hashes = {f"key_hash:{each.hex()}" for each in (SECOND, THIRD)}
    assert await names(dynamo) == {"key_record:key_1", *hashes}
    await keys.delete(MADE.id)
    assert await names(dynamo) == set()


async def test_every_first_answer_is_lost(dynamo: LocalDynamo) -> None:
    """Connections that break behind every write change nothing: each is carried out once, and told so."""
    lossy = Lossy(dynamo.upstream)
    client = dynamo.client(lossy)
    keys, users = DynamoKeyStore(client, dynamo.table), DynamoUserStore(client, dynamo.table)
    await keys.create(MADE)
    await keys.note_use(MADE.id, 5)
    assert await keys.update(ROTATED) is True
    assert await keys.find(FIRST) == replace(ROTATED, last_used_ms=5, version=2)
    assert await keys.delete(MADE.id) is True
    for version in (0, 1):
        assert await users.put(replace(ADA, version=version)) is True
    assert await users.find(ADA.id) == replace(ADA, version=2)
    assert lossy.lost == 6


async def test_rotated_between_the_reads(dynamo: LocalDynamo) -> None:
    """A hash whose key loses it while it is looked up finds nothing."""
    keys, client = dynamo.keys(), dynamo.client()
    await keys.create(MADE)
    client.meanwhile = {1: lambda: keys.update(replace(MADE, key_hash=SECOND))}
    assert await DynamoKeyStore(client, dynamo.table).find(FIRST) is None


async def test_deleted_between_the_reads(dynamo: LocalDynamo) -> None:
    """A key that is deleted while it is looked up is not found."""
    keys, client = dynamo.keys(), dynamo.client()
    await keys.create(MADE)
    client.meanwhile = {1: lambda: keys.delete(MADE.id)}
    assert await DynamoKeyStore(client, dynamo.table).find(FIRST) is None


async def test_changed_while_it_is_deleted(dynamo: LocalDynamo) -> None:
    """A key that is rotated while it is deleted is deleted with its new hash."""
    keys, client = dynamo.keys(), dynamo.client()
    await keys.create(MADE)
    client.meanwhile = {1: lambda: keys.update(ROTATED)}
    assert await DynamoKeyStore(client, dynamo.table).delete(MADE.id) is True
    assert await names(dynamo) == set()


async def test_used_while_it_is_changed(dynamo: LocalDynamo) -> None:
    """A use that is noted in the midst of a change stays."""
    keys, client = dynamo.keys(), dynamo.client()
    await keys.create(MADE)
    client.meanwhile = {1: lambda: keys.note_use(MADE.id, 7)}
    assert await DynamoKeyStore(client, dynamo.table).update(replace(MADE, name="other")) is True
    assert await keys.get(MADE.id) == replace(MADE, name="other", last_used_ms=7, version=2)


@pytest.mark.parametrize("number", [0, 1])
async def test_unavailable(dynamo: LocalDynamo, number: int) -> None:
    """A look-up that fails is no unknown key, whichever read it is."""
    await dynamo.keys().create(MADE)
    client = dynamo.client()
    client.faults = {number: Fault.DOWN}
    with pytest.raises(StorageUnavailable):
        await DynamoKeyStore(client, dynamo.table).find(FIRST)


async def test_many(dynamo: LocalDynamo) -> None:
    """More keys than one read gives are listed whole; usage records and users are not among them."""
    keys: Any = dynamo.keys()
    await dynamo.users().put(ADA)
    made = []
    for number in range(120):
        key_hash = hash_key(str(number))
        made.append(replace(MADE, id=KeyId(f"key_{number:03}"), key_hash=key_hash, created_ms=number))
        await keys.create(made[-1])
    assert list(await keys.list()) == made
    assert list(await keys.list(UserId("ada"))) == made
    assert list(await dynamo.users().list()) == [replace(ADA, version=1)]


@pytest.mark.parametrize("name", ["key_record:key_1", "user_record:ada", "req_1", "", "x" * 3_000])
async def test_ids_of_other_items(dynamo: LocalDynamo, name: str) -> None:
    """An id that is the name of another item is the id of no key."""
    await dynamo.keys().create(MADE)
    await dynamo.users().put(ADA)
    client = dynamo.client()
    assert await DynamoKeyStore(client, dynamo.table).get(KeyId(name)) is None
    assert len(client.operations) == (len(name) < 2_000)  # DynamoDB calls a longer one a mistake
