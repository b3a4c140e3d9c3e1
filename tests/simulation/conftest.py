"""Tells at the end how much was simulated."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sums over all tests, from whichever worker."""
    sums: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                sums.update({name: value for name, value in report.user_properties if isinstance(value, int)})
    if sums:
        told = ", ".join(f"{count:,} {name}" for name, count in sums.items())
        terminalreporter.write_line(f"simulated: {told}")
