"""`[plans.NAME]`: limits and their modes, alerts, and what holds while the storage fails."""

from typing import Any, Final

import pytest

from common.access.plans import principal_of
from common.model.ids import KeyId, UserId
from common.model.limits import Limit, Limits
from common.model.principal import KeyRecord, UserRecord
from common.settings import OnStorageFailure, PlanSettings, SettingsError, parse_settings

COUNTS: Final = [limit for limit in Limit if not limit.startswith("budget")]
PERIODS: Final = {"day": Limit.BUDGET_DAY, "month": Limit.BUDGET_MONTH, "total": Limit.BUDGET_TOTAL}
USD: Final = 10**9


def plan(body: str) -> PlanSettings:
    """The plan of this table."""
    return parse_settings(f"[plans.p]\n{body}", {}).plans["p"]


def mistakes(body: str) -> list[tuple[str, str]]:
    """Key and expectation of each mistake in the plan."""
    with pytest.raises(SettingsError) as wrong:
        plan(body)
    return [(mistake.key, mistake.expected) for mistake in wrong.value.mistakes]


@pytest.mark.parametrize("limit", COUNTS)
def test_a_count_in_either_mode(limit: Limit) -> None:
    """A limit is a number, or a table of one and its mode; what is unlimited is not observed either."""
    as_is = Limits(**{limit.value: 60})  # type: ignore[arg-type] # a limit by its name
    assert plan(f"{limit} = 60").limits == as_is
    assert plan(f"{limit} = {{ limit = 60 }}").limits == as_is
    assert plan(f'{limit} = {{ limit = 60, mode = "enforce" }}').limits == as_is
    observed = plan(f'{limit} = {{ limit = 60, mode = "observe" }}').limits
    assert (observed.stated(limit), observed.of(limit), observed.observed) == (60, None, frozenset({limit}))
    assert plan(f'{limit} = {{ limit = "unlimited", mode = "observe" }}').limits == Limits()


@pytest.mark.parametrize(("period", "limit"), PERIODS.items())
def test_money_in_either_mode(period: str, limit: Limit) -> None:
    """So is a budget; one that is only observed does not limit money."""
    assert plan(f'budget = {{ {period} = {{ limit = "5.00" }} }}').limits.of(limit) == 5 * USD
    observed = plan(f'budget = {{ {period} = {{ limit = "5.00", mode = "observe" }} }}').limits
    assert (observed.stated(limit), observed.observed, observed.has_budget) == (
        5 * USD,
        frozenset({limit}),
        False,
    )


def test_alerts() -> None:
    """Percents in order, each once."""
    assert plan('budget = { month = "50.00", alerts = [80, 50, 80, 100] }').limits.alerts == (50, 80, 100)
    assert plan('budget = { month = "50.00" }').limits.alerts == ()


def test_on_storage_failure() -> None:
    """Requests are refused, unless the plan says otherwise and has no money to lose."""
    assert plan("").on_storage_failure is OnStorageFailure.REFUSE
    assert plan('on_storage_failure = "refuse"\nbudget = { day = "1" }').limits.has_budget
    allowing = plan('on_storage_failure = "allow"\nbudget = { day = { limit = "1", mode = "observe" } }')
    assert allowing.on_storage_failure is OnStorageFailure.ALLOW


MODE: Final = 'expected "enforce" or "observe" as mode'
TABLE: Final = 'expected a limit, or { limit = ..., mode = "observe" }'
COUNT: Final = 'expected a whole number from 0, or "unlimited"'
PERCENTS: Final = "expected whole percents from 1 to 100, like [50, 80, 100]"


@pytest.mark.parametrize(
    ("body", "key", "expected"),
    [
        ('max_parallel = { limit = 6, mode = "watch" }', "plans.p.max_parallel", MODE),
        ('max_parallel = { limit = 6, mode = ["observe"] }', "plans.p.max_parallel", MODE),
        ('max_parallel = { mode = "observe" }', "plans.p.max_parallel", TABLE),
        ("max_parallel = { limit = 6, per = 1 }", "plans.p.max_parallel", TABLE),
        ("max_parallel = { limit = { limit = 6 } }", "plans.p.max_parallel", COUNT),
        ("max_parallel = { limit = true }", "plans.p.max_parallel", COUNT),
        ("max_parallel = -1", "plans.p.max_parallel", COUNT),
        (
            "budget = { day = { limit = 0.5 } }",
            "plans.p.budget.day",
            'expected US dollars like "50.00", in quotes',
        ),
        ("budget = { alerts = 50 }", "plans.p.budget.alerts", PERCENTS),
        ("budget = { alerts = [0] }", "plans.p.budget.alerts", PERCENTS),
        ("budget = { alerts = [101] }", "plans.p.budget.alerts", PERCENTS),
        ("budget = { alerts = [true] }", "plans.p.budget.alerts", PERCENTS),
        ("budget = { alerts = [0.5] }", "plans.p.budget.alerts", PERCENTS),
        ('on_storage_failure = "admit"', "plans.p.on_storage_failure", "expected 'refuse' or 'allow'"),
        (
            'on_storage_failure = "allow"\nbudget = { total = "1" }',
            "plans.p.on_storage_failure",
            'expected "refuse" in a plan with a budget: nothing is spent that is not held',
        ),
    ],
)
def test_mistakes(body: str, key: str, expected: str) -> None:
    """Each is told with its place and what was expected there."""
    assert mistakes(body) == [(key, expected)]


# -- what plans come to for a key and its user

PLANS: Final = parse_settings(
    """
    [plans.watched]
    requests_per_minute = { limit = 60, mode = "observe" }
    max_parallel = { limit = 4, mode = "observe" }
    budget = { alerts = [50] }
    [plans.lenient]
    requests_per_minute = 60
    on_storage_failure = "allow"
    [plans.strict]
    requests_per_minute = 60
    """,
    {},
).plans


def key_of(plan: str = "", **own: int | None) -> KeyRecord:
    """A key of Ada's."""
    overrides = {Limit(name): value for name, value in own.items()}
    return KeyRecord(KeyId("key_1"), b"", UserId("ada"), "", frozenset(), 0, plan=plan, overrides=overrides)


def user_of(plan: str = "", **own: int | None) -> UserRecord:
    """Ada."""
    return UserRecord(UserId("ada"), 0, plan, {Limit(name): value for name, value in own.items()})


def test_a_limit_of_its_own_is_enforced() -> None:
    """Whoever gives a key an amount means it, though the plan only observes its own; alerts stay the plan's."""
    limits = principal_of(key_of("watched", requests_per_minute=5, budget_day=7), None, PLANS).key_limits
    assert limits.binding[Limit.REQUESTS_PER_MINUTE] == 5
    assert limits.observed == {Limit.MAX_PARALLEL}
    assert limits.alerts == (50,)


def test_alerts_alone_limit_nobody() -> None:
    """Without a limit there is nothing to count, and no row."""
    watched = key_of("watched", requests_per_minute=None, max_parallel=None)
    assert principal_of(watched, None, PLANS).limits == {}


@pytest.mark.parametrize(
    ("key", "user", "passes"),
    [
        (key_of("lenient"), None, True),
        (key_of("lenient"), user_of(), True),
        (key_of("lenient"), user_of("lenient"), True),
        (key_of(), user_of("lenient"), True),
        (key_of("lenient", requests_per_minute=5), None, True),
        (key_of("strict"), None, False),
        (key_of("lenient"), user_of("strict"), False),
        (key_of("strict"), user_of("lenient"), False),
        (key_of("lenient"), user_of("", max_parallel=1), False),
        (key_of(max_parallel=1), user_of("lenient"), False),
        (key_of("lenient", budget_day=5), None, False),
        (key_of("lenient"), user_of("lenient", budget_total=5), False),
    ],
)
def test_who_passes_while_the_storage_fails(key: KeyRecord, user: Any, passes: bool) -> None:  # noqa: FBT001 - a column
    """M8: whose limits, key's and user's, come with plans that allow it, and who has no budget from anywhere."""
    assert principal_of(key, user, PLANS).needs_no_storage is passes
