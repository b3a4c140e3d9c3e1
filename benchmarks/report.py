"""Three ways to show what a run found: a table for the terminal, JSON for scripts, Markdown to commit."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from benchmarks.contenders import SLUICE
from benchmarks.figures import Row, Run

JSON_FILE: Final = "figures.json"
MARKDOWN_FILE: Final = "FIGURES.md"
COLUMNS: Final = ("floor", "sluice", "ratio", "of rounds", "goal", "")

READING: Final = """\
Written by `python -m benchmarks --save`. Values are medians over the rounds; a ratio is the median of the
rounds' own ratios, beside it the least and the greatest. Import times are the least of all runs. The gateway
has a core to itself, the mock upstream and the client share another: where "core busy" is far below 100 %,
they bound the rate, not the gateway. The upstream sends a stream in one write, but for slow streams, where each
event is one, says when it was sent, and comes 50 ms after the last; the floor hands on event by event. Memory is
Sluice's own, after some of the same for warming up."""


def table(run: Run, committed: dict[tuple[str, str], float]) -> str:
    """Aligned for the terminal, the ratios beside the committed ones."""
    lines: list[tuple[str, ...]] = [("", *COLUMNS, "committed" if committed else "")]
    for section, rows in groupby(run.rows, attrgetter("section")):
        lines += [(), (section,)]
        for row in rows:
            before = committed.get((row.section, row.metric))
            lines.append((f"  {row.metric}", *_cells(row), _ratio(before)))
    return "\n".join([_title(run), "", *_aligned(lines), "", *_tallies(run)])


def markdown(run: Run) -> str:
    """The page that is committed."""
    lines = ["# Figures", "", f"{_title(run)}.", "", READING, ""]
    for section, rows in groupby(run.rows, attrgetter("section")):
        lines += [f"| {section} | {' | '.join(COLUMNS)} |", "|---|--:|--:|--:|--:|--:|---|"]
        lines += [f"| {row.metric} | {' | '.join(_cells(row))} |" for row in rows]
        lines.append("")
    return "\n".join([*lines, *(f"- {line}" for line in _tallies(run)), ""])


def as_json(run: Run) -> str:
    """Everything; rows carry their goal and whether it is met."""
    document: dict[str, Any] = asdict(run)
    for row, shown in zip(run.rows, document["rows"], strict=True):
        shown["goal"] = str(row.goal) if row.goal else None
        shown["met"] = row.met
    return json.dumps(document, indent=1, ensure_ascii=False)


def save(run: Run, folder: Path) -> None:
    """Write the files that are committed."""
    (folder / JSON_FILE).write_text(as_json(run) + "\n")
    (folder / MARKDOWN_FILE).write_text(markdown(run))


def committed(folder: Path) -> dict[tuple[str, str], float]:
    """The ratios that were saved last, by section and metric."""
    path = folder / JSON_FILE
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    return {(row["section"], row["metric"]): row["ratio"] for row in rows if row["ratio"] is not None}


def _title(run: Run) -> str:
    return (
        f"Sluice beside the floor: {run.date}, Python {run.python}, {run.cores} cores, "
        f"{run.rounds} rounds of {run.seconds:g} s"
    )


def _tallies(run: Run) -> Iterator[str]:
    for name, tally in run.tallies.items():
        kept = "" if run.records is None or name != SLUICE else f", {run.records} usage records"
        yield f"{name}: {tally.answered} answered, {tally.failed} failed{kept}"


def _cells(row: Row) -> tuple[str, ...]:
    spread = "" if row.ratio_low is None else f"{row.ratio_low:.2f} to {row.ratio_high:.2f}"
    verdict = "failed" if row.problem else {True: "pass", False: "MISS", None: ""}[row.met]
    return _number(row.floor), _number(row.sluice), _ratio(row.ratio), spread, str(row.goal or ""), verdict


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} x"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return f"{value:.{decimals}f}"


def _aligned(lines: Sequence[tuple[str, ...]]) -> Iterator[str]:
    full = [line for line in lines if len(line) > 1]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    for line in lines:
        first, *others = zip(line, widths, strict=False) if line else [("", 0)]
        yield "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()
