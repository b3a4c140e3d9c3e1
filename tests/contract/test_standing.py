"""The contract of `Meter.standing` over every engine's rows."""

from common.model.limits import Limit, Limits
from tests.contract.adapters import Stores
from tests.support.metered import KEY, NOON, USER, World, principal

BUDGET = Limits(budget_month=1_000, requests_per_day=5)


async def test_standing(stores: Stores) -> None:
    """Key and user are told as their rows are now, whoever wrote them; a row that nobody has written, as empty."""
    world = World(stores.rows)
    one, other = world.instance(), world.instance()
    who = principal(BUDGET, Limits(budget_total=2_000))
    before = await one.meter.standing(who)
    assert {
        row: [(each.limit, each.used, each.held) for each in limits] for row, limits in before.items()
    } == {
        KEY: [(Limit.REQUESTS_PER_DAY, 0, 0), (Limit.BUDGET_MONTH, 0, 0)],
        USER: [(Limit.BUDGET_TOTAL, 0, 0)],
    }
    await other.settle(await other.admit(who, cost=300), cost=120)
    await other.admit(principal(BUDGET, Limits(budget_total=2_000), "key_2"), cost=50)
    after = await one.meter.standing(who)
    requests, money = after[KEY]
    assert (requests.used, requests.remaining) == (1, 4)
    assert (money.used, money.held, money.remaining, money.resets_ms) == (120, 0, 880, 43_200_000)
    (total,) = after[USER]
    assert (total.used, total.held, total.remaining, total.resets_ms) == (120, 50, 1_830, None)
    assert world.now_ms == NOON


async def test_without_limits(stores: Stores) -> None:
    """Whom nothing limits, nothing is told of."""
    assert await World(stores.rows).instance().meter.standing(principal()) == {}
