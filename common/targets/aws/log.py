"""The log on Lambda: JSON lines on standard output, each with the ids that CloudWatch and X-Ray know the call by.

Metrics are members of these lines: those of a request beside what is told of it, others where `metrics` is among the
`extra` of an entry, counts by their `Metric`.
"""

import logging
import os
import sys
from collections.abc import Iterable
from json import dumps
from typing import ClassVar, Final

from common.settings import LogLevel
from common.targets.aws.metrics import VARIABLE, Metrics
from common.telemetry.log_format import JsonLines
from common.telemetry.request_facts import RequestFacts

_LONGEST: Final = 256


class CorrelatedLines(JsonLines):
    """Ends each line with `function_request_id` and `xray_trace_id`, once there is an invocation."""

    ids: ClassVar[str] = ""

    def __init__(self, secrets: Iterable[str], namespace: str = "") -> None:
        """`namespace`: of the metrics; empty: there are none."""
        super().__init__(list(secrets))
        self._metrics = Metrics(namespace) if namespace else None

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line = f"{super().format(record)[:-1]}{self.ids}"
        return f"{line}}}" if self._metrics is None else f"{line}{_measured(self._metrics, record)}}}"


def _measured(metrics: Metrics, record: logging.LogRecord) -> str:
    at_ms = int(record.created * 1000)
    if isinstance(record.msg, RequestFacts):
        return metrics.of_request(record.msg, at_ms)
    counts = getattr(record, "metrics", None)
    return metrics.of_counts(counts, at_ms) if counts else ""


def correlate(request_id: str, trace_id: str | None) -> None:
    """From now on, lines are of this invocation, until the next: those of its background work too."""
    trace = "null" if trace_id is None else dumps(trace_id[:_LONGEST])
    CorrelatedLines.ids = f',"function_request_id":{dumps(request_id)},"xray_trace_id":{trace}'


def log_to_stdout(secrets: Iterable[str] = (), level: LogLevel = LogLevel.INFO) -> None:
    """From now on, in place of what was set up before."""
    output = logging.StreamHandler(sys.stdout)
    output.setFormatter(CorrelatedLines(secrets, os.environ.get(VARIABLE, "")))
    log = logging.getLogger("sluice")
    log.handlers = [output]
    log.setLevel(level.upper())
    log.propagate = False
    # facts that no line shows, of which each costs: https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
