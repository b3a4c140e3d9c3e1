"""The log: one line for each entry, in JSON or in words, and no secret in either."""

import json
import logging
from typing import Any

import pytest

from common.metering.alerts import LogAlerts
from common.metering.watch import Alert, Observed, Threshold
from common.model.ids import KeyId, RequestId, UserId
from common.model.limits import Limit
from common.model.usage import Outcome
from common.telemetry.log_format import REQUESTS, JsonLines, PlainLines, tell
from common.telemetry.request_facts import RequestFacts
from tests.support.records import usage_record
from tests.support.scripted import LogLines, logging_to

NASTY = "a\r\nb\x1b[2J\x00\u202e\ud800\u2028 sk-sluice-0123456789"
SHOWN = "a\ufffd\ufffdb\ufffd[2J\ufffd\ufffd\ufffd\ufffd [hidden]"
SECRET = "s3cr3t/value+=="


def facts() -> RequestFacts:
    """A request that was answered, with a value of its own in every field."""
    return RequestFacts(
        RequestId("req_0000000000000001"),
        "mine",
        "POST",
        "/v1/chat/completions",
        session_id="chat 7",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        status=200,
        error=None,
        key_id=KeyId("key_1"),
        user=UserId("ada"),
        model="fast",
        record=usage_record(1),
        waited_s=2.0,
        first_byte_s=0.25,
        total_s=2.0125,
    )


def logged(entry: RequestFacts) -> LogLines:
    """How it is logged."""
    lines = LogLines()
    with logging_to(lines):
        tell(entry)
    assert len(lines.json) == len(lines.plain) == 1
    return lines


def members(entry: RequestFacts) -> dict[str, Any]:
    """Its line in JSON, without what every entry has."""
    found: dict[str, Any] = json.loads(logged(entry).json[0])
    assert found.pop("time").endswith("Z")
    assert (found.pop("level"), found.pop("logger")) == ("info", REQUESTS)
    return found


def test_request_in_json() -> None:
    """Every fact has a member; the cost is told twice, times are milliseconds, the gateway's own without waiting."""
    assert members(facts()) == {
        "request_id": "req_0000000000000001",
        "client_request_id": "mine",
        "session_id": "chat 7",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "outcome": "ok",
        "error": None,
        "key_id": "key_1",
        "user": "ada",
        "model": "fast",
        "provider": "openrouter",
        "upstream_model": "openai/gpt-4o-mini",
        "streamed": True,
        "attempts": 2,
        "tokens": {
            "input": 12,
            "cache_read": 3,
            "cache_write": 1,
            "output": 40,
            "reasoning": 5,
            "image": 6,
            "audio": 7,
        },
        "estimated": False,
        "cost_nanousd": 1_234_568,
        "cost_usd": "0.001234568",
        "tried": ["backup/some/mini; 'quoted' provider_error", "openrouter/openai/gpt-4o-mini ok"],
        "route": None,
        "observed": [],
        "first_byte_ms": 250.0,
        "gateway_ms": 12.5,
        "total_ms": 2012.5,
    }


def test_refusal_in_json() -> None:
    """A request that was not admitted has the same members, null where there is nothing to tell."""
    refused = RequestFacts(RequestId("req_2"), None, "GET", "/x", status=401, error="invalid_api_key")
    refused.outcome = Outcome.CLIENT
    found = members(refused)
    assert found.keys() == members(facts()).keys()
    assert (found["status"], found["outcome"], found["error"]) == (401, "client", "invalid_api_key")
    assert {name for name, value in found.items() if value is None} == {
        *(
            "client_request_id",
            "session_id",
            "trace_id",
            "key_id",
            "user",
            "model",
            "provider",
            "upstream_model",
            "streamed",
        ),
        *("tokens", "estimated", "cost_nanousd", "cost_usd", "route", "first_byte_ms"),
    }


def test_observed_limits() -> None:
    """A request that passed limits which are only observed says which, in both forms."""
    entry = facts()
    entry.observed = (Limit.REQUESTS_PER_MINUTE, Limit.BUDGET_DAY)
    assert members(entry)["observed"] == ["requests_per_minute", "budget_day"]
    assert ": ok  beyond requests_per_minute, budget_day  gateway" in logged(entry).plain[0]


@pytest.mark.parametrize(
    ("alert", "told"),
    [
        (
            Threshold("user:ada", Limit.BUDGET_DAY, "2026-11-25", 80, 7, 1, 10),
            {
                "kind": "threshold",
                "row": "user:ada",
                "limit": "budget_day",
                "period": "2026-11-25",
                "percent": 80,
                "spent_nanousd": 7,
                "held_nanousd": 1,
                "budget_nanousd": 10,
            },
        ),
        (
            Observed(f"user:{NASTY}", RequestId("req_1"), (Limit.MAX_PARALLEL,)),
            {
                "kind": "observed",
                "row": f"user:{SHOWN}",
                "request_id": "req_1",
                "limits": ["max_parallel"],
            },
        ),
    ],
    ids=["threshold", "observed"],
)
def test_alerts_in_json(alert: Alert, told: dict[str, Any]) -> None:
    """An alert has its facts as members, beside the words for people; they are made safe like all others."""
    lines = LogLines()
    with logging_to(lines):
        LogAlerts()(alert)
    [line] = lines.json
    entry = json.loads(line)
    assert entry["alert"] == told
    assert entry["message"]
    assert line.isascii()
    assert line.isprintable()


def test_outcome_is_the_records() -> None:
    """Where there is a record, the line tells its outcome, whatever happened to the rest."""
    entry = facts()
    entry.outcome = Outcome.GATEWAY
    assert members(entry)["outcome"] == "ok"


def test_nobody_waited() -> None:
    """A request whose client left before its answer began has the status 499."""
    entry = facts()
    entry.status, entry.first_byte_s = 0, None
    assert (members(entry)["status"], members(entry)["first_byte_ms"]) == (499, None)


def test_request_in_words() -> None:
    """On a terminal the line tells what people look for."""
    [line] = logged(facts()).plain
    assert line[8:] == (
        " 200 ok POST /v1/chat/completions  fast > openrouter/openai/gpt-4o-mini  29+45 tokens  $0.001234568"
        "  2 attempts  backup/some/mini; 'quoted': provider_error  openrouter/openai/gpt-4o-mini: ok"
        "  gateway 12.50 of 2012.50 ms  req_0000000000000001 mine chat 7"
        " 0af7651916cd43dd8448eb211c80319c key_1 ada"
    )


def test_refusal_in_words() -> None:
    """A refusal tells its code, and nothing of what did not happen."""
    refused = RequestFacts(RequestId("req_2"), None, "GET", "/x", status=401, error="invalid_api_key")
    refused.outcome = Outcome.CLIENT
    [line] = logged(refused).plain
    assert line[8:] == " 401 client GET /x  invalid_api_key  gateway 0.00 of 0.00 ms  req_2"


@pytest.mark.parametrize("field", ["client_request_id", "session_id", "method", "path", "error", "model"])
def test_what_a_client_chose(field: str) -> None:
    """Line ends, escape sequences, bidi marks and half characters stay out of the line, and so do keys."""
    entry = facts()
    setattr(entry, field, NASTY)
    lines = logged(entry)
    assert members(entry)[field] == SHOWN
    assert lines.json[0].isascii()
    assert lines.json[0].isprintable()
    assert SHOWN in lines.plain[0]
    assert lines.plain[0].isprintable()
    setattr(entry, field, "x" * 100_000)
    assert len(logged(entry).json[0]) < 1_500
    assert len(logged(entry).plain[0]) < 1_500


def test_nothing_is_told_where_nobody_listens() -> None:
    """Above INFO, requests leave no line."""
    lines = LogLines()
    with logging_to(lines):
        logging.getLogger("sluice").setLevel(logging.WARNING)
        tell(facts())
    assert lines.json == []


def failed(formatter: logging.Formatter) -> str:
    """An entry with a traceback whose exception says what it should not."""

    def fail() -> None:
        raise ValueError(f"no {SECRET}\r\nFORGED {NASTY}")

    try:
        fail()
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("sluice", logging.ERROR, __file__, 1, "request %s failed", (NASTY,), info)
    return formatter.format(record)


def test_failure_in_json() -> None:
    """A failure is one line too, its traceback an array; secrets are kept back by value, keys by their looks."""
    line = failed(JsonLines(["other", SECRET]))
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"]) == ("error", "sluice")
    assert entry["message"] == f"request {SHOWN} failed"
    assert entry["traceback"][0] == "Traceback (most recent call last):"
    assert "ValueError: no [hidden]\ufffd" in entry["traceback"]
    assert SECRET not in line
    assert "sk-sluice" not in line


def test_failure_in_words() -> None:
    """On a terminal a traceback stands below its message, indented, so that no line of it looks like an entry."""
    line = failed(PlainLines([SECRET]))
    first, *rest = line.split("\n")
    assert first[8:] == f" ERROR sluice: request {SHOWN} failed"
    assert all(each.startswith("    ") and each.isprintable() for each in rest)
    assert any(each.startswith("    FORGED") for each in rest)
    assert SECRET not in line


def test_long_messages_are_cut() -> None:
    """No entry fills the disk by itself."""
    record = logging.LogRecord("sluice", logging.ERROR, "", 1, "x" * 10**6, None, None)
    assert len(JsonLines([]).format(record)) < 2_500
