"""What a gateway may get wrong is found by the seeds of `test_gateway.py`."""

import pytest

from tests.simulation.invariants import Violation
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.weather import weather
from tests.simulation.world import World

SEEDS = 2_000


@pytest.mark.parametrize(
    ("mutant", "invariants"), MUTANTS.items(), ids=[mutant.__name__ for mutant in MUTANTS]
)
def test_a_mutant_is_found(mutant: Mutant, invariants: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It breaks an invariant, and one that it is about."""
    mutant(monkeypatch)
    with pytest.raises(Violation) as found:
        run_all()
    assert str(found.value)[:2] in invariants.split()


def run_all() -> None:
    """Until one fails."""
    for seed in range(SEEDS):
        World(seed, weather(seed)).run()
