"""How well the gateway does: availability, error rate and the gateway's own time, defined once. Pure.

- What counts is a request below `/v1/`: probes of health would hide failures, and paths that are not there are noise.
- An error is a request with the outcome `gateway`, or with `upstream`: its last attempt failed. One that a later
  attempt rescued is `ok`. Wrong requests, limits and clients that left are answered as they should be.
- Error rate: errors / requests. Availability: 1 - error rate. Without a request there is neither.
- p50, p95: by nearest rank, of `gateway_ms` (the gateway's own time, its storage included, providers and the client's
  upload left out) and of `first_byte_ms`, where an answer began.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from common.model.usage import Outcome
from common.telemetry.log_format import REQUESTS

COUNTED_BELOW: Final = "/v1/"
ERRORS: Final = frozenset({Outcome.GATEWAY, Outcome.UPSTREAM})


class Percentiles(NamedTuple):
    """Milliseconds."""

    p50: float
    p95: float


class _Line(NamedTuple):
    """What is read of a request's line."""

    time: str
    outcome: Outcome
    attempts: int
    gateway_ms: float
    first_byte_ms: float | None


@dataclass(slots=True)
class ServiceLevels:
    """Of the requests whose lines were counted."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    rescued: int = 0  # `ok` after an attempt that failed
    first: str | None = None  # the time of the earliest request, as its line says it
    last: str | None = None
    unreadable: int = 0  # lines that are no entry of the log
    _gateway_ms: "array[float]" = field(default_factory=lambda: array("d"))
    _first_byte_ms: "array[float]" = field(default_factory=lambda: array("d"))

    @property
    def requests(self) -> int:
        """All that count."""
        return self.outcomes.total()

    @property
    def error_rate(self) -> float | None:
        """Between 0 and 1; None without a request."""
        if not self.requests:
            return None
        return sum(self.outcomes[each] for each in ERRORS) / self.requests

    @property
    def availability(self) -> float | None:
        """Between 0 and 1; None without a request."""
        rate = self.error_rate
        return None if rate is None else 1 - rate

    @property
    def gateway_ms(self) -> Percentiles | None:
        """The gateway's own time."""
        return _percentiles(self._gateway_ms)

    @property
    def first_byte_ms(self) -> Percentiles | None:
        """Until the answer began."""
        return _percentiles(self._first_byte_ms)

    def add(self, line: str) -> None:
        """Count a line of the log, if it is a request's. What stands before its JSON is left out."""
        begin = line.find("{")
        try:
            entry = json.loads(line[begin:]) if begin >= 0 else None
            read = _read(entry)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            self.unreadable += bool(line.strip())
            return
        if read is None:
            return
        self.outcomes[read.outcome] += 1
        self.rescued += read.outcome is Outcome.OK and read.attempts > 1
        self.first = min(self.first or read.time, read.time)
        self.last = max(self.last or read.time, read.time)
        self._gateway_ms.append(read.gateway_ms)
        if read.first_byte_ms is not None:
            self._first_byte_ms.append(read.first_byte_ms)


def service_levels(lines: Iterable[str]) -> ServiceLevels:
    """Of the requests in the log."""
    levels = ServiceLevels()
    for line in lines:
        levels.add(line)
    return levels


def _read(entry: Any) -> _Line | None:
    """None for an entry that does not count; raises for what is none."""
    if entry["logger"] != REQUESTS or not entry["path"].startswith(COUNTED_BELOW):
        return None
    first_byte_ms = entry["first_byte_ms"]
    return _Line(
        str(entry["time"]),
        Outcome(entry["outcome"]),
        int(entry["attempts"]),
        float(entry["gateway_ms"]),
        None if first_byte_ms is None else float(first_byte_ms),
    )


def _percentiles(values: "array[float]") -> Percentiles | None:
    if not values:
        return None
    ordered = sorted(values)
    return Percentiles(_nearest_rank(ordered, 50), _nearest_rank(ordered, 95))


def _nearest_rank(ordered: list[float], percent: int) -> float:
    """The least value that at least `percent` of all do not exceed."""
    return ordered[-(-percent * len(ordered) // 100) - 1]
