"""Availability, error rate and the gateway's own time: what counts, and what does not."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.ids import RequestId
from common.model.usage import Outcome
from common.telemetry.log_format import tell
from common.telemetry.request_facts import RequestFacts
from common.telemetry.service_levels import ServiceLevels, service_levels
from tests.support.records import usage_record
from tests.support.scripted import LogLines, logging_to


def line(outcome: str = "ok", gateway_ms: float = 1.0, **members: Any) -> str:
    """A request's, as far as it is read."""
    usual = {"time": "2026-11-25T08:00:00.000Z", "logger": "sluice.request", "path": "/v1/chat/completions"}
    rest = {"outcome": outcome, "attempts": 1, "gateway_ms": gateway_ms, "first_byte_ms": 5.0}
    return json.dumps({**usual, **rest, **members})


@pytest.mark.parametrize(
    ("outcome", "is_error"),
    [
        ("ok", False),
        ("client", False),
        ("limit", False),
        ("cancelled", False),
        ("upstream", True),
        ("gateway", True),
    ],
)
def test_what_is_an_error(outcome: str, *, is_error: bool) -> None:
    """Only what the gateway failed at, and what providers failed at without another's rescue."""
    levels = service_levels([line(), line(), line(), line(outcome)])
    assert levels.requests == 4
    assert (levels.error_rate, levels.availability) == ((0.25, 0.75) if is_error else (0.0, 1.0))
    assert {Outcome(outcome)} <= levels.outcomes.keys()


def test_every_outcome_is_decided() -> None:
    """A new outcome must be one of those above."""
    assert {each.value for each in Outcome} == {"ok", "client", "limit", "cancelled", "upstream", "gateway"}


def test_rescued() -> None:
    """A request that a later attempt rescued is none of the errors, and is counted; one that none rescued is one."""
    levels = service_levels([line(attempts=2), line(attempts=0), line("upstream", attempts=2), line()])
    assert (levels.rescued, levels.error_rate) == (1, 0.25)


@pytest.mark.parametrize(
    ("each", "unreadable"),
    [
        (line("gateway", path="/health"), 0),
        (line("gateway", path="/health/ready"), 0),
        (line("client", path="/wp-admin"), 0),
        (line("gateway", logger="sluice.bodies"), 0),
        ('{"time":"x","level":"warning","logger":"sluice.budget","message":"m"}', 0),
        ("", 0),
        ("  \n", 0),
        ("Stopped.", 1),
        ("12:00:00 200 ok POST /v1/chat/completions", 1),
        (line()[:-20], 1),
        (line("splendid"), 1),
        ('{"logger":"sluice.request"}', 1),
        ("[1]", 1),
        ('{"logger":' + "[" * 100_000, 1),
        (line(gateway_ms=None), 1),  # type: ignore[arg-type] # as a line may have it
        (line(path=None), 1),
    ],
)
def test_what_does_not_count(each: str, unreadable: int) -> None:
    """Probes, paths that are not there and other entries are left out; what is no entry is told of."""
    levels = service_levels([each])
    assert (levels.requests, levels.unreadable) == (0, unreadable)
    assert (levels.error_rate, levels.availability) == (None, None)
    assert (levels.gateway_ms, levels.first_byte_ms, levels.first) == (None, None, None)


def test_prefix() -> None:
    """What tools print before an entry is left out."""
    assert service_levels([f"2026-11-25T08:00:00 2026/11/25/[1]abc {line()}\n"]).requests == 1


def test_times() -> None:
    """The first and the last request are told, whatever the order of the lines."""
    times = ["2026-11-25T08:00:02.000Z", "2026-11-25T08:00:01.000Z", "2026-11-25T08:00:03.000Z"]
    levels = service_levels(line(time=each) for each in times)
    assert (levels.first, levels.last) == (times[1], times[2])


def test_percentiles() -> None:
    """Nearest rank: of 20 values the 10th and the 19th; of one, itself. Without a first byte, none counts for it."""
    levels = service_levels(line(gateway_ms=each, first_byte_ms=None) for each in range(20, 0, -1))
    assert (levels.gateway_ms, levels.first_byte_ms) == ((10, 19), None)
    one = service_levels([line(gateway_ms=7)])
    assert (one.gateway_ms, one.first_byte_ms) == ((7, 7), (5, 5))


@given(st.lists(st.floats(0, 10**6), min_size=1, max_size=60))
def test_law_of_percentiles(values: list[float]) -> None:
    """At least so many percent of all values are not above it, and no less value has that many."""
    found = service_levels(line(gateway_ms=each) for each in values).gateway_ms
    assert found is not None
    for percent, value in zip((50, 95), found, strict=True):
        needed = math.ceil(percent * len(values) / 100)
        assert value in values
        assert sum(each <= value for each in values) >= needed
        assert sum(each < value for each in values) < needed


def test_lines_of_the_log() -> None:
    """The lines that are read are those that the log writes; the gateway's time is without what others took."""
    lines, levels = LogLines(), ServiceLevels()
    with logging_to(lines):
        tell(
            RequestFacts(
                RequestId("req_1"),
                None,
                "POST",
                "/v1/chat/completions",
                status=200,
                record=usage_record(1),
                waited_s=2.0,
                first_byte_s=0.25,
                total_s=2.0125,
            )
        )
    levels.add(lines.json[0])
    assert (levels.requests, levels.rescued, levels.unreadable) == (1, 1, 0)
    assert (levels.gateway_ms, levels.first_byte_ms) == ((12.5, 12.5), (250, 250))
