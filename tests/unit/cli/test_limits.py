"""Limits on the command line."""

from typing import Any

import click
import pytest

from common.cli import limits
from common.model.limits import Limit
from common.model.money import MONEY, usd
from common.settings.tables import UNLIMITED

NANO = 10**9


def taken(*words: str) -> dict[str, Any]:
    """What a command with all options is handed. Raises `click.UsageError`."""
    given: dict[str, Any] = {}

    @click.command
    @limits.options(UNLIMITED, limits.PLAN)
    def command(**options: Any) -> None:
        given.update({name: value for name, value in options.items() if value is not None})

    command.main(list(words), standalone_mode=False)
    return given


def test_every_limit_is_an_option() -> None:
    """There is one for each limit, named as in the configuration."""
    words = [word for limit in Limit for word in (f"--{limit.replace('_', '-')}", "7")]
    assert taken(*words) == {limit.value: 7 * NANO if limit in MONEY else 7 for limit in Limit}


@pytest.mark.parametrize(
    ("words", "value"),
    [
        pytest.param(["--max-parallel", "0"], 0, id="none at all"),
        pytest.param(["--tokens-per-day", "200_000"], 200_000, id="as in TOML"),
        pytest.param(["--tokens-per-day", "1000000000000"], 10**12, id="the largest"),
        pytest.param(["--budget-day", "0.000000001"], 1, id="the smallest amount"),
        pytest.param(["--budget-day", "50"], 50 * NANO, id="dollars"),
        pytest.param(["--budget-day", "50.25"], 50_250_000_000, id="cents"),
        pytest.param(["--budget-total", "9000000"], 9_000_000 * NANO, id="the largest amount"),
        pytest.param(["--budget-day", "unlimited"], "unlimited", id="unlimited"),
        pytest.param(["--max-parallel", "plan"], "plan", id="as in the plan"),
    ],
)
def test_amounts(words: list[str], value: object) -> None:
    """Counts are whole, money is exact to the nano-dollar."""
    assert list(taken(*words).values()) == [value]


@pytest.mark.parametrize(
    "words",
    [
        ["--max-parallel", "-1"],
        ["--max-parallel", "1.5"],
        ["--max-parallel", ""],
        ["--max-parallel", "1__0"],
        ["--max-parallel", "٣"],
        ["--max-parallel", "many"],
        ["--max-parallel", "1000000000001"],
        ["--budget-day", "-1"],
        ["--budget-day", "$5"],
        ["--budget-day", "5,00"],
        ["--budget-day", "1e3"],
        ["--budget-day", "0.0000000001"],
        ["--budget-day", "9000000.01"],
    ],
    ids=" ".join,
)
def test_what_is_no_amount(words: list[str]) -> None:
    """Anything else is refused, with what was expected."""
    with pytest.raises(click.BadParameter, match=r"expected .*, or `unlimited` or `plan`"):
        taken(*words)


def test_changes() -> None:
    """An amount or `unlimited` becomes the own limit, `plan` drops it, what is not given stays."""
    own = {Limit.MAX_PARALLEL: 2, Limit.REQUESTS_PER_DAY: 100, Limit.BUDGET_DAY: None}
    given: dict[str, int | str | None] = {
        "max_parallel": 3,
        "requests_per_day": "plan",
        "budget_total": "unlimited",
        "tokens_per_day": "plan",
        "tokens_per_minute": None,
    }
    assert limits.changed(own, given) == {
        Limit.MAX_PARALLEL: 3,
        Limit.BUDGET_DAY: None,
        Limit.BUDGET_TOTAL: None,
    }
    assert own[Limit.MAX_PARALLEL] == 2


@pytest.mark.parametrize(
    ("nanousd", "told"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (10**7, "0.01"),
        (50 * NANO, "50.00"),
        (1_005_000_000, "1.005"),
        (9_000_000 * NANO, "9000000.00"),
    ],
)
def test_usd(nanousd: int, told: str) -> None:
    """Every nano-dollar is told, and cents always."""
    assert usd(nanousd) == told
