"""What an instance remembers of the alerts that it told."""

import logging

import pytest

from common.metering import alerts
from common.metering.alerts import LogAlerts
from common.metering.watch import Threshold
from common.model.limits import Limit


def threshold(row: int, period: str = "2026-11-25") -> Threshold:
    """Of a row of its own."""
    return Threshold(f"key:{row}", Limit.BUDGET_DAY, period, 80, 8, 0, 10)


def test_memory_is_bounded(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each threshold is told once in its period; of very many the oldest is forgotten, and may be told again."""
    monkeypatch.setattr(alerts, "_TOLD", 3)
    tell = LogAlerts()

    def told(alert: Threshold) -> bool:
        caplog.clear()
        tell(alert)
        return bool(caplog.records)

    with caplog.at_level(logging.WARNING, "sluice.budget"):
        assert [told(threshold(row)) for row in (1, 2, 3, 1, 3)] == [True, True, True, False, False]
        assert told(threshold(1, "2026-11-26"))
        assert told(threshold(1)), "it was the oldest"
        assert not told(threshold(3))
