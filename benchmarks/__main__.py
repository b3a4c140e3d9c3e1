"""`python -m benchmarks [--rounds N] [--seconds S] [--only NAME,...] [--json] [--save]`."""

import argparse
import datetime as dt
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from benchmarks import contenders, figures, imports, memory, on_lambda, report, routing
from benchmarks.ledger import Ledger
from benchmarks.process import BenchmarkError, Cores, choose_cores, running
from benchmarks.rounds import SCENARIOS, Scenario, Setup, Tally, run_round

IMPORTS: Final = "imports"
LAMBDA: Final = "lambda"
MEMORY: Final = "memory"
ROUTING: Final = "routing"
MOCK: Final = (sys.executable, "-m", "benchmarks.upstream")
NAMES: Final = (IMPORTS, LAMBDA, MEMORY, ROUTING, *(scenario.name for scenario in SCENARIOS))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What Sluice costs.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="how often (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.5, metavar="S", help="of each load (%(default)s)")
    parser.add_argument("--only", type=names, default=NAMES, metavar="NAME,...", help=" ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--save", action="store_true", help="write figures.json and FIGURES.md")
    chosen = parser.parse_args(arguments)
    if chosen.save and set(chosen.only) != set(NAMES):
        parser.error("--save keeps whole runs only: leave --only out")
    return chosen


def names(text: str) -> tuple[str, ...]:
    """A comma-separated choice of `NAMES`."""
    chosen = tuple(text.split(","))
    if unknown := [name for name in chosen if name not in NAMES]:
        problem = f"{', '.join(unknown)}: not one of {', '.join(NAMES)}"
        raise argparse.ArgumentTypeError(problem)
    return chosen


def tell(text: str) -> None:
    """Progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def run_rounds(
    scenarios: tuple[Scenario, ...], cores: Cores, rounds: int, seconds: float
) -> tuple[Ledger, dict[str, Tally], int | None]:
    """Measure both contenders; with the number of usage records that Sluice kept."""
    ledger, tallies = Ledger(), dict[str, Tally]()
    with tempfile.TemporaryDirectory() as scratch, running(MOCK, core=cores.rest) as upstream:
        folder, port = Path(scratch), int(upstream.first_line())
        both = (contenders.floor(port), contenders.sluice(port, folder))
        with (folder / "log").open("w") as log:
            setup = Setup(both, port, cores, scenarios, seconds, log)
            for number in range(rounds):
                tell(f"round {number + 1} of {rounds}")
                uvloop.run(run_round(setup, ledger, tallies, swap=number % 2 == 1))
        return ledger, tallies, contenders.count_records(folder)


def weigh(cores: Cores) -> dict[str, float]:
    """Measure Sluice's memory, by a mock of its own."""
    with tempfile.TemporaryDirectory() as scratch, running(MOCK, core=cores.rest) as upstream:
        folder = Path(scratch)
        sluice = contenders.sluice(int(upstream.first_line()), folder)
        with (folder / "log").open("w") as log:
            return uvloop.run(memory.measure(sluice, cores, log))


def run(chosen: argparse.Namespace) -> figures.Run:
    """Measure what was chosen."""
    cores = choose_cores()
    ledger, tallies, records, rows = Ledger(), dict[str, Tally](), None, list[figures.Row]()
    if scenarios := tuple(scenario for scenario in SCENARIOS if scenario.name in chosen.only):
        ledger, tallies, records = run_rounds(scenarios, cores, chosen.rounds, chosen.seconds)
    if MEMORY in chosen.only:
        tell("memory")
        rows.extend(figures.memory_rows(weigh(cores)))
    if ROUTING in chosen.only:
        tell("routing")
        rows.extend(figures.routing_rows(routing.measure()))
    if LAMBDA in chosen.only:
        tell("lambda")
        rows.extend(figures.lambda_rows(on_lambda.measure(cores)))
    if IMPORTS in chosen.only:
        tell("imports")
        rows.extend(figures.import_rows(imports.measure(cores)))
    return figures.Run(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        python=platform.python_version(),
        cores=cores.usable,
        rounds=chosen.rounds,
        seconds=chosen.seconds,
        rows=(*figures.rows_of(ledger), *rows),
        tallies=tallies,
        records=records,
    )


def main() -> int:
    """Measure, show, and save where asked; 1 where a figure can't be trusted."""
    chosen = parse(sys.argv[1:])
    # whoever ends the harness ends what it started; asyncio turns an interrupt into an orderly cancellation
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        found = run(chosen)
    except BenchmarkError as error:
        tell(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    folder = Path(__file__).parent
    print(report.as_json(found) if chosen.json else report.table(found, report.committed(folder)))
    if chosen.save and not found.doubts:
        report.save(found, folder)
    for doubt in found.doubts:
        tell(f"not to be trusted: {doubt}")
    return 1 if found.doubts else 0


if __name__ == "__main__":
    sys.exit(main())
