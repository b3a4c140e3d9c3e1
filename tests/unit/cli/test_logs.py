"""`sluice logs`: what a log comes to."""

import json
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner, Result

from common.cli.root import sluice

USUAL: Final = {"logger": "sluice.request", "path": "/v1/models", "attempts": 1}


def entry(outcome: str, second: int, **members: Any) -> str:
    """A request's line."""
    times = {"time": f"2026-11-25T08:00:{second:02}.000Z", "gateway_ms": second * 1.0, "first_byte_ms": None}
    return json.dumps({**USUAL, **times, "outcome": outcome, **members})


LOG: Final = "\n".join(
    [
        entry("ok", 1, first_byte_ms=1234.5),
        entry("ok", 2, attempts=2),
        entry("limit", 3),
        entry("upstream", 4),
        "Stopped.",
    ]
)


def run(*arguments: str, text: str = "") -> Result:
    """The command."""
    return CliRunner().invoke(sluice, ["logs", *arguments], input=text)


def test_of_standard_input() -> None:
    """Without a file the log comes by standard input; every figure has a line, and what was left out is told."""
    found = run(text=LOG)
    assert found.exit_code == 0
    assert found.stdout.splitlines() == [
        "Requests      4, from 2026-11-25T08:00:01.000Z to 2026-11-25T08:00:04.000Z",
        "Availability  75.000 %",
        "Error rate    25.000 %",
        "Outcomes      ok 2 (50.000 %), limit 1 (25.000 %), upstream 1 (25.000 %)",
        "Rescued       1 by another attempt",
        "Gateway       p50 2.00 ms, p95 4.00 ms",
        "First byte    p50 1,234.50 ms, p95 1,234.50 ms",
        "1 lines are no entries of the log in JSON, and were left out.",
    ]


def test_of_a_file(tmp_path: Path) -> None:
    """In JSON, of a file whose bytes need not be UTF-8."""
    file = tmp_path / "sluice.log"
    file.write_bytes(LOG.encode() + b"\n\xff\xfe\n")
    assert json.loads(run(str(file), "--json").stdout) == {
        "requests": 4,
        "first": "2026-11-25T08:00:01.000Z",
        "last": "2026-11-25T08:00:04.000Z",
        "availability": 0.75,
        "error_rate": 0.25,
        "outcomes": {"ok": 2, "client": 0, "limit": 1, "upstream": 1, "gateway": 0, "cancelled": 0},
        "rescued": 1,
        "gateway_ms": {"p50": 2.0, "p95": 4.0},
        "first_byte_ms": {"p50": 1234.5, "p95": 1234.5},
        "unreadable_lines": 2,
    }


def test_of_nothing() -> None:
    """Without a request there are no figures, and it is no failure."""
    assert run().stdout == "There is no request below /v1/ in this log.\n"
    assert json.loads(run("--json").stdout)["availability"] is None


def test_without_first_bytes() -> None:
    """A figure that nothing was measured for is a dash."""
    assert "First byte    -" in run(text=entry("cancelled", 1)).stdout.splitlines()


def test_no_such_file() -> None:
    """A file that is not there is a wrong use."""
    found = run("nothing.log")
    assert found.exit_code == 2
    assert "nothing.log" in found.stderr
