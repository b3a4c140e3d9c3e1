"""M7: what the owner allows can be spent, by many at once."""

from typing import Any, Final

import pytest

from common.metering import checks
from common.model.limits import Limits
from tests.simulation.clients import Client, Habits
from tests.simulation.script import Temper
from tests.simulation.storage import StorageFaults
from tests.simulation.weather import Weather
from tests.simulation.world import World

CLIENTS: Final = 200
OUTPUT: Final = 60
HABITS: Final = Habits(
    think_s=(0.0, 0.05), patience=1_000, longest_wait_s=2.0, leaves=0.0, slow=0.0, stalls=0.0, deadline=0.0
)


class Insistent(Client):
    """Asks the same again and again, until it is told that the money is spent."""

    asked: dict[str, Any]

    async def live(self) -> None:
        """See `Client.live`."""
        status = 200
        while status == 200:
            status = (await self.insist(self.asked)).status


class Plain(Insistent):
    """Takes a shorter answer where the money does not pay a longer one."""

    asked = {"model": "one", "messages": [{"role": "user", "content": "wxyz"}], "max_tokens": OUTPUT}  # noqa: RUF012


class WithTools(Insistent):
    """Would have no use of a shorter answer."""

    tool: Final = {"type": "function", "function": {"name": "f"}}
    asked = {**Plain.asked, "tools": [tool]}  # noqa: RUF012


def hold(asked: dict[str, Any]) -> int:
    """What such a request holds where there is money enough."""

    class Once(Client):
        async def live(self) -> None:
            await self.ask(asked)

    keys = ((0, Limits(budget_total=10**9)),)
    world = World(1, Weather((Limits(),), keys, clients=1, habits=HABITS), client=Once)
    world.run()
    return world.rows.records[world.id_of(world.requests["1"])].held_nanousd


def spend(client: type[Insistent], verbose: float, slow: float) -> float:
    """Which part of a budget of twenty holds is spent when nobody asks for more."""
    budget = 20 * hold(client.asked)
    temper = Temper(token_s=(0.001, 0.01), verbose=verbose)
    weather = Weather(
        users=(Limits(),),
        keys=((0, Limits(budget_total=budget)),),
        clients=CLIENTS,
        processes=4,
        habits=HABITS,
        storage=StorageFaults(slow=slow),
        tempers=(temper, temper, temper),
    )
    return World(7, weather, client=client).run().booked / budget


@pytest.mark.parametrize(
    ("client", "verbose", "slow"),
    [
        pytest.param(Plain, 0.1, 0.0, id="short answers"),
        pytest.param(Plain, 1.0, 0.5, id="long answers, slow store"),
        pytest.param(WithTools, 0.1, 0.0, id="tools, short answers"),
        pytest.param(WithTools, 1.0, 0.5, id="tools, long answers, slow store"),
    ],
)
def test_a_budget_is_spendable(client: type[Insistent], verbose: float, slow: float) -> None:
    """M7: 200 clients that retry spend 95 % at least, and not more than all."""
    assert 0.95 <= spend(client, verbose, slow) <= 1.0


def test_money_that_is_held_counted_as_spent_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M7: clients who are told that nothing is left, while it is only held, do not come back for it."""
    monkeypatch.setattr(checks, "_merely_held", lambda *_: False)
    assert spend(WithTools, 0.1, 0.0) < 0.95
