"""How the log is written: each entry on one line, as JSON for machines or as words for a terminal.

Whatever is logged passes through here, so this is where secrets are kept back: the configured ones by their value, all
others by their looks.
"""

import logging
import re
import time
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from functools import lru_cache
from json import dumps
from typing import TYPE_CHECKING, Any, Final, cast

from common.telemetry.request_facts import RequestFacts
from common.telemetry.request_line import json_members, plain
from common.telemetry.text import HIDDEN, LONGEST_SHOWN, on_one_line, without_keys

REQUESTS: Final = "sluice.request"
BODIES: Final = "sluice.bodies"  # whose entries are `Bodies`
_LONGEST: Final = 2_000
_LONGEST_TRACEBACK: Final = 20_000

if TYPE_CHECKING:  # most gateways log no bodies
    from common.telemetry.bodies import Bodies, Kept
    from common.telemetry.redaction import Redactor

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
        self._values = sorted(filter(None, secrets), key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, self._values))) if self._values else None
        self._redactor: Redactor | None = None

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

    def _parts(self, kept: "Collection[Kept]") -> str:
        """What may be shown of a body, each part of it looked at by itself."""
        if self._redactor is None:
            from common.telemetry.redaction import (
                Redactor,
            )  # its patterns take long to build, for those who have none

            self._redactor = Redactor(self._values)
        redact = self._redactor
        return "\n".join(redact(each.text, is_cut=each.is_cut) for each in kept)[:LONGEST_SHOWN]

    def _message(self, record: logging.LogRecord) -> str:
        return on_one_line(self._safe(record.getMessage()), _LONGEST)


class JsonLines(_OneLine):
    """`{"time": ..., "level": ..., "logger": ..., ...}`: of a request, of its bodies, or a `message`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        created = record.created
        head = (
            f'{{"time":"{_second(int(created))}.{int(record.msecs):03d}Z",'
            f'"level":"{record.levelname.lower()}","logger":"{record.name}",'
        )
        if isinstance(record.msg, RequestFacts):
            return f"{head}{json_members(record.msg)}}}"
        if record.name == BODIES:
            return f"{head}{self._bodies(cast('Bodies', record.msg))}}}"
        message = f'{head}"message":{dumps(self._message(record))}'
        if (alert := getattr(record, "alert", None)) is not None:
            message += f',"alert":{dumps(self._alert(alert))}'
        traceback = self._traceback(record)
        return f'{message},"traceback":{dumps(traceback)}}}' if traceback else f"{message}}}"

    def _bodies(self, bodies: "Bodies") -> str:
        asked, answered = bodies.request, bodies.answer
        return (
            f'"request_id":"{bodies.request_id}","request_body":{dumps(self._parts([asked]))},'
            f'"request_bytes":{asked.size},"answer_body":{dumps(self._parts(answered))},'
            f'"answer_bytes":{answered[0].size}'
        )

    def _alert(self, alert: Any) -> dict[str, Any]:
        """Its kind, and its fields by name."""
        assert is_dataclass(alert)
        told = {each.name: self._safely(getattr(alert, each.name)) for each in fields(alert)}
        return {"kind": type(alert).__name__.lower(), **told}

    def _safely(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return [self._safely(each) for each in value]
        return on_one_line(self._safe(value), _LONGEST) if isinstance(value, str) else value


class PlainLines(_OneLine):
    """`12:03:44 INFO ...`, in local time; a traceback is indented below."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        if isinstance(record.msg, RequestFacts):
            return f"{clock} {plain(record.msg)}"
        if record.name == BODIES:
            bodies = cast("Bodies", record.msg)
            marked = ((">", [bodies.request]), ("<", bodies.answer))
            shown = [f"{mark} {on_one_line(self._parts(kept), LONGEST_SHOWN)}" for mark, kept in marked]
            return "\n    ".join([f"{clock} {bodies}", *shown])
        lines = [
            f"{clock} {record.levelname} {record.name}: {self._message(record)}",
            *self._traceback(record),
        ]
        return "\n    ".join(lines)


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
