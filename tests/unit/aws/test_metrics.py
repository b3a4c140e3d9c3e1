"""CloudWatch's metrics as members of the log's lines, held against the rules of the embedded metric format."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from common.model.ids import RequestId
from common.model.usage import Outcome, Tokens
from common.targets.aws import dead_letters
from common.targets.aws.log import CorrelatedLines
from common.targets.aws.metrics import OF_JOBS, OUTCOME, UNITS, Metric
from common.targets.registry import JOBS
from common.telemetry.log_format import REQUESTS
from common.telemetry.request_facts import RequestFacts
from common.telemetry.service_levels import ERRORS
from tests.support.records import usage_record

NAMESPACE: Final = "Sluice/dev"
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html (2026-11)
CLOUDWATCH_UNITS: Final = {"Count", "Milliseconds", "Seconds", "Bytes", "Percent", "None"}


@pytest.fixture(autouse=True)
def _ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CorrelatedLines, "ids", ',"function_request_id":"a","xray_trace_id":null')


def line(message: Any, namespace: str = NAMESPACE, **extra: Any) -> dict[str, Any]:
    """An entry of the log."""
    record = logging.LogRecord(REQUESTS, logging.INFO, "", 0, message, None, None)
    record.__dict__.update(extra)
    found: dict[str, Any] = json.loads(CorrelatedLines([], namespace).format(record))
    return found


def told(entry: Mapping[str, Any]) -> dict[tuple[str, ...], dict[str, Any]]:
    """What CloudWatch takes from a line: by dimensions and their values, each metric's value."""
    metadata = entry["_aws"]
    assert set(metadata) == {"Timestamp", "CloudWatchMetrics"}
    assert metadata["Timestamp"] > 1_700_000_000_000
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for directive in metadata["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert directive["Namespace"] == NAMESPACE
        for dimensions in directive["Dimensions"]:
            values = tuple(entry[name] for name in dimensions)
            assert all(isinstance(value, str) and 0 < len(value) <= 1024 for value in values)
            for metric in directive["Metrics"]:
                assert metric["Unit"] in CLOUDWATCH_UNITS
                assert type(entry[metric["Name"]]) in (int, float)
                found.setdefault(values, {})[metric["Name"]] = entry[metric["Name"]]
    return found


def facts(path: str = "/v1/chat/completions", **what: Any) -> RequestFacts:
    """A request."""
    return RequestFacts(RequestId("req_1"), None, "POST", path, **what)


def test_completion() -> None:
    """Of a completion CloudWatch takes that it was one, its times, its tokens and its cost."""
    record = replace(usage_record(1), outcome=Outcome.OK)
    entry = line(facts(status=200, record=record, first_byte_s=0.25, total_s=2.5, waited_s=2.0))
    assert told(entry) == {
        (): {
            Metric.REQUESTS: 1,
            Metric.GATEWAY_MS: 500.0,
            Metric.FIRST_BYTE_MS: 250.0,
            Metric.TOKENS: record.tokens.total,
            Metric.COST_USD: float(entry["cost_usd"]),
        },
    }
    assert entry["tokens"] == record.tokens._asdict()
    assert entry["xray_trace_id"] is None


def test_request_that_was_never_answered() -> None:
    """Without a first byte there is no time of one: a null is no metric."""
    entry = line(facts(record=usage_record(1)))
    assert entry["first_byte_ms"] is None
    assert Metric.FIRST_BYTE_MS not in told(entry)[()]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_request_without_a_record(outcome: Outcome) -> None:
    """Whatever was not admitted is a request; it is an error where a provider or the gateway failed, by outcome too."""
    entry = line(facts(status=429, outcome=outcome, total_s=0.1))
    expected: dict[tuple[str, ...], dict[str, Any]] = {(): {Metric.REQUESTS: 1, Metric.GATEWAY_MS: 100.0}}
    if outcome in ERRORS:
        expected[()][Metric.ERRORS] = 1
        expected[outcome,] = {Metric.ERRORS: 1}
    assert told(entry) == expected


def test_outcome_of_a_record() -> None:
    """Where there is a record, its outcome is the request's, as the line says it."""
    entry = line(facts(record=replace(usage_record(1), outcome=Outcome.UPSTREAM)))
    assert (entry["outcome"], told(entry)["upstream",]) == ("upstream", {Metric.ERRORS: 1})


def test_what_does_not_count() -> None:
    """Probes of health are in the log, but count as nothing."""
    assert "_aws" not in line(facts("/health", status=200, first_byte_s=0.1))


def test_no_more_than_are_free() -> None:
    """All that requests can tell is ten metrics at most: each of a metric and the values of its dimensions is one."""
    found: set[tuple[str, tuple[str, ...]]] = set()
    for outcome in Outcome:
        record = replace(usage_record(1), outcome=outcome)
        for each in (facts(record=record, first_byte_s=0.1), facts(outcome=outcome)):
            found |= {(name, values) for values, named in told(line(each)).items() for name in named}
    assert len(found | {(Metric.UNSETTLED, ()), (Metric.EXPIRED_HOLDS, ())}) == 10


def test_cost_is_exact() -> None:
    """The cost has all nine places, without an exponent, whatever it is."""
    for cost, text in ((1, "0.000000001"), (0, "0"), (12_000_000_034, "12.000000034")):
        record = replace(usage_record(1), cost_nanousd=cost, tokens=Tokens(input=1))
        raw = CorrelatedLines([], NAMESPACE).format(
            logging.LogRecord(REQUESTS, logging.INFO, "", 0, facts(record=record), None, None)
        )
        assert f'"{Metric.COST_USD}":{text}}}' in raw


def test_without_a_namespace() -> None:
    """Where nobody names a namespace, the log has no metrics, and says the same besides."""
    entry = facts(record=usage_record(1), first_byte_s=0.1)
    with_metrics, without = line(entry), line(entry, namespace="")
    added = {"_aws", *(metric.value for metric in Metric)} - set(without)
    assert {name: value for name, value in with_metrics.items() if name not in added} | {
        "time": without["time"]
    } == without
    assert "_aws" not in without


def test_message() -> None:
    """A message has metrics only where it counts something."""
    assert "_aws" not in line("hello")
    entry = line("two were late", metrics={Metric.EXPIRED_HOLDS: 2})
    assert told(entry) == {(): {Metric.EXPIRED_HOLDS: 2}}
    assert entry["message"] == "two were late"


async def test_unsettled_record(caplog: pytest.LogCaptureFixture) -> None:
    """A usage record that the table does not take is counted."""
    await dead_letters.LoggedDeadLetters().put(usage_record(1))
    (record,) = caplog.records
    entry = json.loads(CorrelatedLines([], NAMESPACE).format(record))
    assert told(entry) == {(): {Metric.UNSETTLED: 1}}


def test_names() -> None:
    """Every metric has a unit, and no name is that of a member that is something else."""
    plain = line(facts(record=usage_record(1), first_byte_s=0.1), namespace="")
    assert set(UNITS) == set(Metric)
    taken = {metric for metric in Metric if metric in plain}
    assert taken == {Metric.GATEWAY_MS, Metric.FIRST_BYTE_MS}
    assert isinstance(plain[OUTCOME], str)


def test_jobs_that_are_counted() -> None:
    """What is counted of jobs is of jobs that there are."""
    assert {name for name, _ in OF_JOBS} <= set(JOBS)
