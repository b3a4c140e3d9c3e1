"""Processes over one table, and what they leave in it."""

from typing import Final

from common.metering.standing import Standing
from common.model.limits import Limits
from tests.support.dynamodb import LocalDynamo, WatchedClient
from tests.support.metered import KEY, USER, Instance, World, principal

LIMITS: Final = Limits(requests_per_minute=100, max_parallel=2, budget_total=10**9)
ADA: Final = principal(LIMITS, LIMITS)
KEY_ALONE: Final = principal(LIMITS)


async def process(dynamo: LocalDynamo, world: World) -> tuple[Instance, WatchedClient]:
    """One more process, which has seen both rows, and its client, which has not been asked for anything since."""
    client = dynamo.client()
    world.rows = dynamo.rows(client)
    instance = world.instance()
    await instance.settle(await instance.admit(ADA))
    client.operations.clear()
    return instance, client


async def seen(dynamo: LocalDynamo) -> list[Standing]:
    """Both rows, as nobody's client sees them."""
    return list(await dynamo.rows().read([KEY, USER]))


async def committed(dynamo: LocalDynamo) -> list[int]:
    """In both rows, when nothing is held."""
    standings = await seen(dynamo)
    assert [each.holds for each in standings] == [{}, {}]
    assert [each.counts["in_flight"] for each in standings] == [0, 0]
    return [each.counts["committed_total"] for each in standings]


async def recorded(dynamo: LocalDynamo) -> int:
    """What all records cost."""
    return sum(each.cost_nanousd for each in await dynamo.records())
