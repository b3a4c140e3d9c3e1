"""The log on Lambda: JSON lines on standard output, each with the ids that CloudWatch and X-Ray know the call by."""

import logging
import sys
from collections.abc import Iterable
from json import dumps
from typing import ClassVar, Final

from common.settings import LogLevel
from common.telemetry.log_format import JsonLines

_LONGEST: Final = 256


class CorrelatedLines(JsonLines):
    """Ends each line with `function_request_id` and `xray_trace_id`, once there is an invocation."""

    ids: ClassVar[str] = ""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        return f"{super().format(record)[:-1]}{self.ids}}}"


def correlate(request_id: str, trace_id: str | None) -> None:
    """From now on, lines are of this invocation, until the next: those of its background work too."""
    trace = "null" if trace_id is None else dumps(trace_id[:_LONGEST])
    CorrelatedLines.ids = f',"function_request_id":{dumps(request_id)},"xray_trace_id":{trace}'


def log_to_stdout(secrets: Iterable[str] = (), level: LogLevel = LogLevel.INFO) -> None:
    """From now on, in place of what was set up before."""
    output = logging.StreamHandler(sys.stdout)
    output.setFormatter(CorrelatedLines(list(secrets)))
    log = logging.getLogger("sluice")
    log.handlers = [output]
    log.setLevel(level.upper())
    log.propagate = False
    # facts that no line shows, of which each costs: https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
