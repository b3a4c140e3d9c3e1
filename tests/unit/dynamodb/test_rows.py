"""What each request costs in calls, and a store that does not keep up."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from common.adapters.dynamodb.client import ConditionFailed, DynamoClient
from common.adapters.dynamodb.expressions import to_item
from common.adapters.dynamodb.rows import DynamoRows
from common.metering.plan import Plan
from common.metering.rows import Change, Records, Rows
from common.metering.standing import EMPTY, Standing
from common.model.errors import RateLimited, StorageUnavailable
from common.model.ids import RequestId
from common.model.limits import UNLIMITED, Limits
from tests.contract.plans import usage
from tests.support.dynamodb import LocalDynamo
from tests.support.metered import KEY, USER, World, principal
from tests.unit.dynamodb.processes import ADA, KEY_ALONE, LIMITS, committed, process, recorded, seen

# -- calls


async def test_first_calls(dynamo: LocalDynamo, world: World) -> None:
    """A principal that nobody has seen: a read, an update in vain, the new item, the update."""
    client = dynamo.client()
    world.rows = dynamo.rows(client)
    await world.instance().admit(KEY_ALONE)
    assert client.operations == ["BatchGetItem", "UpdateItem", "PutItem", "UpdateItem"]


async def test_calls(dynamo: LocalDynamo, world: World) -> None:
    """M5: an admission is an update for each row that has limits, a settlement the record and the same."""
    one, client = await process(dynamo, world)
    admission = await one.admit(KEY_ALONE, cost=5)
    assert client.operations == ["UpdateItem"]
    await one.settle(admission, cost=3)
    assert client.operations[1:] == ["PutItem", "UpdateItem"]
    client.operations.clear()
    admission = await one.admit(ADA, cost=5)
    assert client.operations == ["UpdateItem", "UpdateItem"]
    await one.settle(admission, cost=3)
    assert client.operations[2:] == ["PutItem", "UpdateItem", "UpdateItem"]
    client.operations.clear()
    await one.settle(await one.admit(principal()), cost=3)
    assert client.operations == ["PutItem"]


async def test_calls_for_what_is_rare(dynamo: LocalDynamo, world: World) -> None:
    """A transaction and a look at the rows: for expired holds, an extension of both rows, and a correction."""
    one, client = await process(dynamo, world)
    late = await one.admit(ADA, cost=5, lifetime_s=10)
    client.operations.clear()
    assert (await one.meter.extend(late, 7)).held_nanousd == 12
    assert client.operations == ["TransactWriteItems", "BatchGetItem"]
    client.operations.clear()
    world.wait(20_000)
    await one.settle(await one.admit(KEY_ALONE))
    assert client.operations[:2] == ["TransactWriteItems", "BatchGetItem"]
    client.operations.clear()
    await one.settle(late, cost=3)
    assert client.operations == ["BatchGetItem", "GetItem", "TransactWriteItems", "BatchGetItem"]
    assert await committed(dynamo) == [3, 3]
    assert await recorded(dynamo) == 3


async def test_no_room_for_the_user(dynamo: LocalDynamo, world: World) -> None:
    """A user who has become full meanwhile: what the key had given is withdrawn, its request too."""
    (one, _), (other, client) = await process(dynamo, world), await process(dynamo, world)
    before = await seen(dynamo)
    for _ in range(2):
        await one.admit(principal(key=LIMITS, user=LIMITS, key_id="key_2"))
    with pytest.raises(RateLimited):
        await other.admit(ADA, cost=5, tokens=7)
    assert client.operations == ["UpdateItem", "UpdateItem", "UpdateItem"]
    assert (await seen(dynamo))[0] == before[0]


async def test_both_at_once_for_the_first_time(dynamo: LocalDynamo, world: World) -> None:
    """Of many who meet a new principal at once, each is admitted once."""
    instances = [world.instance() for _ in range(4)]
    await asyncio.gather(*(instance.admit(principal(Limits(max_parallel=4))) for instance in instances))
    assert (await world.counts(KEY))["in_flight"] == 4


async def test_known_records_stay(dynamo: LocalDynamo) -> None:
    """Whatever is changed along with it: a record that is settled is neither replaced nor counted as abandoned."""
    rows, known = dynamo.rows(), usage(1)
    change = Change(KEY, Plan(add={"in_flight": 1}))
    other, abandoned = replace(known, total_ms=1), replace(known, abandoned=True, total_ms=2)
    for nth, records in enumerate([Records(known), Records(other), Records(abandoned=(abandoned,))]):
        outcome = await rows.apply([change], records)
        assert outcome.applied
        assert outcome.standings[0].counts["in_flight"] == nth + 1
    assert (await rows.apply([], Records(abandoned=(abandoned,)))).applied
    assert await dynamo.records() == [known]


# -- a store that does not keep up


class Scripted(DynamoClient):
    """Answers as a function says."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """See `DynamoClient.call`."""
        answer: dict[str, Any] = self._answer(operation, payload)
        return answer


def rows(dynamo: LocalDynamo, answer: Any) -> Rows:
    """The rows of a store that answers so."""
    return DynamoRows(Scripted(answer), "t", dynamo.clock, dynamo.background)


async def test_read_in_parts(dynamo: LocalDynamo) -> None:
    """Rows that were not read for want of capacity are asked for again."""
    one = Standing({**EMPTY.counts, "in_flight": 1}, {})

    def answer(_: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        first, *rest = payload["RequestItems"]["t"]["Keys"]
        item = to_item(first["pk"]["S"], one)
        unread = {"t": {"Keys": rest}} if rest else {}
        return {"Responses": {"t": [item]}, "UnprocessedKeys": unread}

    assert list(await rows(dynamo, answer).read([KEY, USER, KEY])) == [one, one, one]


async def test_never_read(dynamo: LocalDynamo) -> None:
    """Rows that are never read are unavailable."""

    def answer(_: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {"Responses": {}, "UnprocessedKeys": payload["RequestItems"]}

    with pytest.raises(StorageUnavailable):
        await rows(dynamo, answer).read([KEY])


async def test_never_created(dynamo: LocalDynamo) -> None:
    """A row that is gone as soon as it is made is unavailable."""

    def answer(operation: str, _: Mapping[str, Any]) -> dict[str, Any]:
        if operation == "PutItem":
            return {}
        raise ConditionFailed(None, repeated=False)

    change = Change(KEY, Plan(add={"in_flight": 1}))
    with pytest.raises(StorageUnavailable):
        await rows(dynamo, answer).apply([change], Records())


@pytest.mark.parametrize("user", [UNLIMITED, LIMITS], ids=["settled", "withdrawn"])
async def test_never_still(dynamo: LocalDynamo, user: Limits) -> None:
    """A row that changes before each write of what must be done to it is unavailable."""
    held: dict[str, Any] = {}
    admits = True

    def answer(operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal admits
        row = payload.get("Key", {}).get("pk", {}).get("S")
        if operation == "BatchGetItem":
            return {"Responses": {"t": [held[KEY]] if held else []}}
        if operation == "PutItem":
            return {}
        if row == KEY and admits:
            admits = False
            (hold_id,), (text,) = (
                payload["ExpressionAttributeNames"].values(),
                [value["B"] for value in payload["ExpressionAttributeValues"].values() if "B" in value],
            )
            held[KEY] = to_item(KEY, Standing(EMPTY.counts, {RequestId(f"req_{hold_id}"): text}))
            return {"Attributes": held[KEY]}
        raise ConditionFailed(held[KEY] if row == KEY else to_item(USER), repeated=False)

    one = World(rows(dynamo, answer)).instance()
    with pytest.raises(StorageUnavailable, match="changes too fast"):
        await one.settle(await one.admit(principal(LIMITS, user)))
