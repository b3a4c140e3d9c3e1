"""The decision against a log of every admission, and mutants of the decision that the same machine must find."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from common.metering import decision, window
from common.metering.decision import Actual, Ask
from common.metering.plan import Plan
from common.metering.standing import Standing
from common.model.ids import RequestId
from common.model.limits import Limits, Refused
from tests.unit.metering.machine import Decisions, Meter

DETERMINISTIC = settings(
    derandomize=True,
    database=None,
    deadline=None,
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
)


def test_the_decision_agrees_with_the_log() -> None:
    """M1 to M4, M6, M7 hold after every step, whatever the instances see, when, and how often."""
    run_state_machine_as_test(Meter, settings=settings(DETERMINISTIC, max_examples=200))


class CheckThenAct(Decisions):
    """The limits are checked on what was seen, and the write does not check them again."""

    @staticmethod
    def admit(standing: Standing, limits: Limits, ask: Ask, now_ms: int) -> Refused | Plan:
        """Admit without guards."""
        plan = decision.admit(standing, limits, ask, now_ms)
        return plan if isinstance(plan, Refused) else plan._replace(at_most={})


class SettledTwice(Decisions):
    """A settlement does not ask whether the hold is still there."""

    @staticmethod
    def settle(standing: Standing, hold_id: RequestId, actual: Actual, now_ms: int) -> Plan:
        """Settle without the guard."""
        return decision.settle(standing, hold_id, actual, now_ms)._replace(holds={})


class HoldForgotten(Decisions):
    """An admission counts the money and does not write the hold."""

    @staticmethod
    def admit(standing: Standing, limits: Limits, ask: Ask, now_ms: int) -> Refused | Plan:
        """Admit without a hold."""
        plan = decision.admit(standing, limits, ask, now_ms)
        return plan if isinstance(plan, Refused) else plan._replace(put={})


class ExpiredGivenBack(Decisions):
    """An expired hold is taken for a request that cost nothing."""

    @staticmethod
    def admit(standing: Standing, limits: Limits, ask: Ask, now_ms: int) -> Refused | Plan:
        """Admit, and release what has expired."""
        plan = decision.admit(standing, limits, ask, now_ms)
        if isinstance(plan, Refused):
            return plan
        back = sum(hold.cost_nanousd for hold in plan.swept)
        total = plan.add.get("committed_total", 0) - back
        return plan._replace(add={**plan.add, "committed_total": total})


class ExpiredForgotten(Decisions):
    """Holds never expire: what a dead instance held blocks `max_parallel` for ever."""

    @staticmethod
    def admit(standing: Standing, limits: Limits, ask: Ask, now_ms: int) -> Refused | Plan:
        """Admit without a sweep."""
        plan = decision.admit(standing, limits, ask, now_ms)
        if isinstance(plan, Refused):
            return plan
        add = {**plan.add, "in_flight": 1}
        return plan._replace(add=add, remove=(), swept=())


def find(mutant: Any) -> str:
    """What the machine finds wrong with a mutant."""
    machine = type("Mutant", (Meter,), {"decide": mutant})
    hunt = settings(DETERMINISTIC, max_examples=1_000, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError) as found:
        run_state_machine_as_test(machine, settings=hunt)
    return str(found.value)


@pytest.mark.parametrize(
    ("mutant", "invariants"),
    [
        (CheckThenAct, "M1 M2"),
        (SettledTwice, "M3 M4 M7"),
        (HoldForgotten, "M3 M4"),
        (ExpiredGivenBack, "M3 M4"),
        (ExpiredForgotten, "M4"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_mutant_is_found(mutant: type[Decisions], invariants: str) -> None:
    """What a meter may get wrong breaks an invariant within the budget of the machine."""
    assert find(mutant)[:2] in invariants.split()


def test_a_window_that_is_too_short_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M1: twelve sub-windows do not cover a minute."""
    monkeypatch.setattr(window, "COUNTED", 12)
    assert find(Decisions).startswith("M1")
