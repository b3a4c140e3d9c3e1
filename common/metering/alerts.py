"""Where alerts go unless somebody else takes them: into the log.

What passes a threshold may fall below it again, as holds come and go, and pass it once more. So each is told once in
its period by an instance; of several instances, those may tell it that made it pass, one after the other.
"""

import logging
from collections import OrderedDict
from typing import Final, assert_never

from common.metering.watch import Alert, Observed, Overrun, Threshold
from common.model.money import usd

_TOLD: Final = 10_000
_budgets = logging.getLogger("sluice.budget")
_limits = logging.getLogger("sluice.limits")


class LogAlerts:
    """One warning for each alert, as words and as `extra` fields (`alert`: the alert itself)."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str, str, int], None] = OrderedDict()

    def __call__(self, alert: Alert) -> None:
        """Log it. Never raises."""
        match alert:
            case Threshold():
                if self._is_new(alert):
                    _budgets.warning("%s", _threshold(alert), extra={"alert": alert})
            case Overrun():
                _budgets.warning("%s", _overrun(alert), extra={"alert": alert})
            case Observed():
                _limits.warning("%s", _observed(alert), extra={"alert": alert})
            case _:
                assert_never(alert)

    def _is_new(self, alert: Threshold) -> bool:
        told = alert.row, alert.limit.value, alert.period, alert.percent
        if told in self._told:
            return False
        self._told[told] = None
        if len(self._told) > _TOLD:
            self._told.popitem(last=False)
        return True


def _threshold(alert: Threshold) -> str:
    return (
        f"budget alert: row={alert.row} limit={alert.limit} period={alert.period} percent={alert.percent} "
        f"spent_usd={usd(alert.spent_nanousd)} held_usd={usd(alert.held_nanousd)} "
        f"limit_usd={usd(alert.budget_nanousd)}"
    )


def _overrun(alert: Overrun) -> str:
    return (
        f"budget overrun: row={alert.row} request={alert.request_id} "
        f"cost_usd={usd(alert.cost_nanousd)} held_usd={usd(alert.held_nanousd)}"
    )


def _observed(alert: Observed) -> str:
    return (
        f"would have been refused: row={alert.row} request={alert.request_id} limits={','.join(alert.limits)}"
    )
