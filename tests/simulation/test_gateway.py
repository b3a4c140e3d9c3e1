"""Thousands of worlds, each decided by its seed: no limit is overrun, no money is lost, whatever fails and whenever.
What clients are told (T) is one answer, also where several providers gave it, and nobody is asked in vain (R).

SLUICE_SEED=123 pytest tests/simulation/test_gateway.py -s     one seed again, told line by line
SLUICE_SEEDS=2000-12000 pytest tests/simulation/test_gateway.py    other seeds than the first 2,000
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.simulation.invariants import Violation
from tests.simulation.weather import weather
from tests.simulation.world import Report, World

ONE: Final = os.environ.get("SLUICE_SEED")
FIRST, END = map(int, os.environ.get("SLUICE_SEEDS", "0-2000").split("-"))
AT_ONCE: Final = 50
ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = """
from tests.simulation.weather import weather
from tests.simulation.world import World
print(World(11, weather(11)).run().digest)
"""


def run(seed: int) -> Report:
    """A seed's world; what is wrong with it names the seed."""
    try:
        return World(seed, weather(seed), tell=print if ONE else None).run()
    except Exception as error:
        error.add_note(f"again: SLUICE_SEED={seed} pytest {Path(__file__).relative_to(ROOT)} -s")
        raise


@pytest.mark.parametrize("first", [int(ONE)] if ONE else range(FIRST, END, AT_ONCE))
def test_seeds(first: int, record_property: Any) -> None:
    """M1 to M4 hold after every step, at the end no bill is above what is booked, and clients have one answer each."""
    reports = [run(seed) for seed in range(first, first + 1 if ONE else min(first + AT_ONCE, END))]
    for name in ("requests", "admitted", "answered", "crashes", "swept", "corrected"):
        record_property(name, sum(getattr(report, name) for report in reports))


def test_replay() -> None:
    """A run is a function of its seed alone: not of what ran before, nor of the interpreter's own randomness."""
    digests = {run(11).digest}
    for hash_seed in ("1", "2"):
        digests.add(
            subprocess.run(
                [sys.executable, "-c", PROGRAM],
                cwd=ROOT,
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
        )
    assert len(digests) == 1


def test_seeds_differ() -> None:
    """Another seed is another world."""
    assert run(11).digest != run(12).digest


def test_a_violation_names_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sees a failure can have it again."""

    def fail(_world: World) -> Report:
        raise Violation("M1: made up")

    monkeypatch.setattr(World, "run", fail)
    with pytest.raises(Violation) as caught:
        run(7)
    assert "SLUICE_SEED=7 " in caught.value.__notes__[0]
