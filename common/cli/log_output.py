"""Where the log of a server goes: standard error, in words where somebody reads along, in JSON where a program does."""

import asyncio
import logging
import sys
from typing import Final, TextIO

from common.settings import Settings
from common.telemetry.log_format import REQUESTS, JsonLines, PlainLines

_TOGETHER_S: Final = 0.05


class LogOutput(logging.StreamHandler[TextIO]):
    """Writes what is grave at once; lines of requests together, for a write takes longer than its line's making."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._waiting: list[logging.LogRecord] = []
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """See `logging.Handler.handle`. Requests are logged by the event loop's own thread."""
        if record.name != REQUESTS:
            self.flush()
            return super().handle(record)
        self._waiting.append(record)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TOGETHER_S, self.flush)
        return True

    def flush(self) -> None:
        """See `logging.Handler.flush`."""
        self._timer = None
        if self._waiting:
            records, self._waiting = self._waiting, []
            self.stream.write("".join([f"{self.format(record)}\n" for record in records]))
        super().flush()


def log_to_stderr(settings: Settings) -> LogOutput:
    """From now on, by the configured level; no secret of the configuration is written. To be flushed at the end."""
    output = LogOutput()
    output.setFormatter((PlainLines if sys.stderr.isatty() else JsonLines)(settings.secrets))
    log = logging.getLogger("sluice")
    log.addHandler(output)
    log.setLevel(settings.server.log_level.upper())
    log.propagate = False
    # facts that no line shows, of which each costs: https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    return output
