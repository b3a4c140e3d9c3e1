"""What a run found, as rows of figures."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks import imports, on_lambda
from benchmarks.contenders import FLOOR, SLUICE, UPSTREAM
from benchmarks.goals import ADDED_P50, ADDED_P99, FIRST_BYTE, GOALS, IMPORT, LAMBDA, MEMORY, ROUTING, Goal
from benchmarks.ledger import Ledger, ratios
from benchmarks.rounds import P50, P99_LATE, Tally

_ADDED: Final = {P50: ADDED_P50, P99_LATE: ADDED_P99}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both contenders. What was not measured is None."""

    section: str
    metric: str
    floor: float | None
    sluice: float | None
    ratio: float | None
    ratio_low: float | None = None  # the least and the greatest of the rounds' ratios
    ratio_high: float | None = None
    problem: str = ""  # why there is no figure

    @property
    def goal(self) -> Goal | None:
        """What it is held against."""
        return GOALS.get((self.section, self.metric))

    @property
    def met(self) -> bool | None:
        """Whether the goal is met, where there are a goal and a figure."""
        return self.goal.met(self.sluice, self.ratio) if self.goal else None


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a run found, and the circumstances that matter."""

    date: str
    python: str
    cores: int
    rounds: int
    seconds: float
    rows: tuple[Row, ...]
    tallies: dict[str, Tally]
    records: int | None  # usage records in Sluice's store after the last round

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the figures should not be trusted."""
        found = [f"{name}: {tally.failed} failed" for name, tally in self.tallies.items() if tally.failed]
        sluice = self.tallies.get(SLUICE)
        if sluice and self.records is not None and self.records < sluice.answered:
            found.append(f"{SLUICE}: {sluice.answered - self.records} answers without a usage record")
        return (*found, *(f"{row.metric}: {row.problem}" for row in self.rows if row.problem))


def rows_of(ledger: Ledger) -> Iterator[Row]:
    """The rounds' figures, and the latency that each gateway adds to the upstream's own."""
    for section, metric in ledger.metrics():
        floor, sluice = (ledger.of(section, metric, name) for name in (FLOOR, SLUICE))
        yield _row(section, metric, floor, sluice)
        upstream = ledger.of(section, metric, UPSTREAM)
        if metric in _ADDED and upstream:
            yield _row(section, _ADDED[metric], _minus(floor, upstream), _minus(sluice, upstream))


def import_rows(found: dict[str, float | str]) -> Iterator[Row]:
    """The modules' import times beside that of `fastapi`."""
    base = found[imports.BASE]
    for module in imports.MODULES:
        took = found[module]
        if isinstance(took, float) and isinstance(base, float):
            yield Row(IMPORT, module, base, took, took / base)
        else:
            yield Row(IMPORT, module, None, None, None, problem=str(took))


def memory_rows(grown_mb: dict[str, float]) -> Iterator[Row]:
    """What Sluice has kept of memory, by what it had to do."""
    for metric, grown in grown_mb.items():
        yield Row(MEMORY, metric, None, grown, None)


def routing_rows(found: dict[str, float]) -> Iterator[Row]:
    """What a request's name and needs cost until its candidates are chosen, by what it asks for."""
    for metric, took in found.items():
        yield Row(ROUTING, metric, None, took, None)


def lambda_rows(found: dict[str, on_lambda.Cost]) -> Iterator[Row]:
    """What an invocation costs in both runtimes."""
    floor, sluice = found[FLOOR], found[SLUICE]
    for metric, least, ours in (
        (FIRST_BYTE, floor.first_byte_ms, sluice.first_byte_ms),
        ("CPU µs per invocation", floor.cpu_us, sluice.cpu_us),
    ):
        yield Row(LAMBDA, metric, least, ours, ours / least)


def _row(section: str, metric: str, floor: list[float], sluice: list[float]) -> Row:
    each = ratios(sluice, floor)
    return Row(section, metric, median(floor), median(sluice), median(each), min(each), max(each))


def _minus(values: list[float], base: list[float]) -> list[float]:
    return [value - beside for value, beside in zip(values, base, strict=True)]
