"""`sluice users`."""

from dataclasses import replace
from pathlib import Path

import pytest

from common.access.managed_keys import TRIES
from common.adapters.memory import MemoryUserStore
from common.cli.users.set import _set
from common.model.errors import StorageUnavailable
from common.model.ids import UserId
from common.model.limits import Limit
from common.model.principal import UserRecord
from tests.unit.cli.commands import Commands

PLANS = """
[plans.standard]
requests_per_minute = 60
[plans.premium]
"""


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Without a user, in a folder whose configuration has plans."""
    (tmp_path / "sluice.toml").write_text(PLANS)
    monkeypatch.chdir(tmp_path)
    return Commands(tmp_path / "data", "users")


# -- set ---------------------------------------------------------------------------------------------------------------


def test_set(users: Commands) -> None:
    """What holds now is told, and that gateways which are running know of it within a minute."""
    result = users.run(
        "set", "ada", "--plan", "standard", "--budget-month", "50", "--max-parallel", "unlimited"
    )
    user, plan, parallel, month, since, nothing, note = result.stdout.splitlines()
    assert (user, plan) == ("User    ada", "Plan    standard")
    assert parallel == "Limits  unlimited requests at a time"
    assert month == "        50.00 US dollars per UTC month"
    assert since.startswith("Since   20")
    assert (nothing, note) == ("", "A gateway that is running goes by this within 60 s.")


def test_set_keeps_what_is_not_given(users: Commands) -> None:
    """A second command changes what it names: the rest of the record, and its beginning, stay."""
    first = users.json("set", "ada", "--plan", "standard", "--budget-month", "50", "--max-parallel", "2")
    second = users.json("set", "ada", "--max-parallel", "3")
    assert second == {**first, "limits": {**first["limits"], "max_parallel": 3}}
    assert users.json("show", "ada") == second


def test_set_back_to_the_plan(users: Commands) -> None:
    """`plan` drops an own limit, so that the plan's holds again; `--no-plan` drops the plan."""
    users.run(
        "set", "ada", "--plan", "standard", "--budget-month", "50", "--requests-per-minute", "unlimited"
    )
    changed = users.json("set", "ada", "--requests-per-minute", "plan")
    assert (changed["plan"], list(changed["limits"])) == ("standard", ["budget_month"])
    assert users.json("set", "ada", "--no-plan")["plan"] == ""
    assert users.json("set", "ada", "--budget-month", "plan")["limits"] == {}


def test_set_another_plan(users: Commands) -> None:
    """A user has one plan, and keeps limits of its own across plans."""
    users.run("set", "ada", "--plan", "standard", "--budget-day", "1.50")
    changed = users.json("set", "ada", "--plan", "premium")
    assert changed["plan"] == "premium"
    assert changed["limits"] == {"budget_day": {"nanousd": 1_500_000_000, "usd": "1.50"}}


def test_set_an_unknown_plan(tmp_path: Path, users: Commands) -> None:
    """A plan has to be one of the configuration's; nothing is written otherwise."""
    result = users.run("set", "ada", "--plan", "gold")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no plan 'gold': sluice.toml has standard, premium.\n"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="no user"),
        pytest.param(["ada"], id="nothing to set"),
        pytest.param(["a\nb", "--max-parallel", "2"], id="user with a line break"),
        pytest.param(["ada", "--plan", "standard", "--no-plan"], id="a plan and none"),
        pytest.param(["ada", "--max-parallel", "few"], id="no amount"),
    ],
)
def test_set_used_wrongly(tmp_path: Path, users: Commands, words: list[str]) -> None:
    """The status is 2, and nothing is written."""
    result = users.run("set", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert not (tmp_path / "data").exists()


class Contended(MemoryUserStore):
    """A store in which somebody else is faster, some times, and gives the user a limit."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    async def put(self, record: UserRecord) -> bool:
        """See `UserStore.put`."""
        if self.left:
            self.left -= 1
            stored = await self.find(record.id) or UserRecord(record.id, 1)
            await super().put(replace(stored, overrides={Limit.MAX_PARALLEL: self.left}))
        return await super().put(record)


@pytest.mark.parametrize("times", [0, 1, TRIES - 1])
async def test_set_at_once(times: int) -> None:
    """What others set meanwhile stays, and so does what is set here."""
    store = Contended(times)
    record = await _set(store, UserId("ada"), None, {"budget_day": 5})
    stored = await store.find(UserId("ada"))
    assert stored == replace(record, version=times + 1)
    assert stored.overrides == {Limit.BUDGET_DAY: 5, **({Limit.MAX_PARALLEL: 0} if times else {})}


async def test_set_that_always_loses() -> None:
    """Whoever is always slower is told to try again."""
    with pytest.raises(StorageUnavailable, match="try again"):
        await _set(Contended(TRIES), UserId("ada"), "standard", {})


# -- list and show -----------------------------------------------------------------------------------------------------


def test_list(users: Commands) -> None:
    """Users stand in columns, by name; of limits, those that somebody has."""
    users.run("set", "grace", "--plan", "premium")
    users.run("set", "ada", "--requests-per-day", "1000", "--budget-total", "unlimited")
    head, ada, grace = users.run("list").stdout.splitlines()
    assert head.split() == ["USER", "PLAN", "REQ/DAY", "USD", "TOTAL", "SINCE", "(UTC)"]
    assert ada.split()[:3] == ["ada", "1,000", "unlimited"]
    assert grace.split()[:2] == ["grace", "premium"]
    assert [each["user"] for each in users.json("list")] == ["ada", "grace"]


def test_list_of_nothing(tmp_path: Path, users: Commands) -> None:
    """A database without such users is no mistake."""
    Commands(tmp_path / "data", "keys").run("create", "--user", "ada")
    assert users.run("list").stdout == "No user has a plan or limits.\n"
    assert users.json("list") == []


def test_show(users: Commands) -> None:
    """One user, as `set` told it."""
    users.run("set", "ada", "--plan", "standard")
    user, plan, own, _ = users.run("show", "ada").stdout.splitlines()
    assert (user, plan, own) == ("User    ada", "Plan    standard", "Limits  none of its own")


def test_show_somebody_else(users: Commands) -> None:
    """Who was given nothing has nothing to show: one line says so."""
    users.run("set", "ada", "--plan", "standard")
    result = users.run("show", "grace")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: The user 'grace' has been given no plan and no limits: `sluice users set` does that.\n"
    )
