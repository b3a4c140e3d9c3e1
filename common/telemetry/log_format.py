"""How the log is written: each entry on one line, as JSON for machines or as words for a terminal.

Whatever is logged passes through here, so this is where secrets are kept back: the configured ones by their value, all
others by their looks.
"""

import logging
import re
import time
from collections.abc import Collection
from functools import lru_cache
from json import dumps
from typing import Final

from common.telemetry.request_facts import RequestFacts
from common.telemetry.request_line import json_members, plain
from common.telemetry.text import HIDDEN, on_one_line, without_keys

REQUESTS: Final = "sluice.request"
_LONGEST: Final = 2_000
_LONGEST_TRACEBACK: Final = 20_000

_log = logging.getLogger(REQUESTS)


def tell(facts: RequestFacts) -> None:
    """Log the request, at INFO. Costs next to nothing where nobody listens."""
    if _log.isEnabledFor(logging.INFO):
        # without looking for the caller, which takes as long as all the rest
        _log.handle(logging.LogRecord(REQUESTS, logging.INFO, __file__, 0, facts, None, None))


class _OneLine(logging.Formatter):
    """What both forms share."""

    def __init__(self, secrets: Collection[str]) -> None:
        """`secrets`: values that must never be written."""
        super().__init__()
        found = sorted(filter(None, secrets), key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, found))) if found else None

    def _safe(self, text: str) -> str:
        if self._secrets is not None:
            text = self._secrets.sub(HIDDEN, text)
        return without_keys(text)

    def _traceback(self, record: logging.LogRecord) -> list[str]:
        """Line by line: an exception's own words may have line ends that are not the traceback's."""
        if not record.exc_info:
            return []
        text = self._safe(self.formatException(record.exc_info))
        return [on_one_line(line, _LONGEST) for line in text[-_LONGEST_TRACEBACK:].split("\n")]

    def _message(self, record: logging.LogRecord) -> str:
        return on_one_line(self._safe(record.getMessage()), _LONGEST)


class JsonLines(_OneLine):
    """`{"time": ..., "level": ..., "logger": ..., ...}`: the members of a request, or a `message`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        created = record.created
        head = (
            f'{{"time":"{_second(int(created))}.{int(record.msecs):03d}Z",'
            f'"level":"{record.levelname.lower()}","logger":"{record.name}",'
        )
        if isinstance(record.msg, RequestFacts):
            return f"{head}{json_members(record.msg)}}}"
        message = f'{head}"message":{dumps(self._message(record))}'
        traceback = self._traceback(record)
        return f'{message},"traceback":{dumps(traceback)}}}' if traceback else f"{message}}}"


class PlainLines(_OneLine):
    """`12:03:44 INFO ...`, in local time; a traceback is indented below."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        if isinstance(record.msg, RequestFacts):
            return f"{clock} {plain(record.msg)}"
        lines = [
            f"{clock} {record.levelname} {record.name}: {self._message(record)}",
            *self._traceback(record),
        ]
        return "\n    ".join(lines)


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
