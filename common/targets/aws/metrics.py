"""CloudWatch's metrics, as members of the log's own lines: its embedded metric format. Pure.

They are told where the variable `SLUICE_METRICS` names a namespace, like `Sluice/dev`. Each costs by the month and by
dimension, so they are few, and no key, user or model is a dimension: without jobs that find something, they are the ten
that an account has free. What is counted is what `telemetry/service_levels.py` counts. Alarms and dashboards take their
names from here.

Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
(2026-11). A metric is a number among the line's members, a dimension a text among them; where neither is there already,
both are added.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from json import dumps
from typing import Final

from common.model.price import PICO_PER_NANO, usd_text
from common.telemetry.request_facts import RequestFacts
from common.telemetry.service_levels import COUNTED_BELOW, ERRORS

VARIABLE: Final = "SLUICE_METRICS"
OUTCOME: Final = "outcome"
"""The one dimension, of `ERRORS` beside all of them together."""


class Metric(StrEnum):
    """What is counted or measured."""

    REQUESTS = "requests"
    ERRORS = "errors"  # all together, and by outcome
    GATEWAY_MS = "gateway_ms"
    FIRST_BYTE_MS = "first_byte_ms"
    TOKENS = "total_tokens"  # of completions, as is the cost
    COST_USD = "cost"
    UNSETTLED = "unsettled"  # completions that the table did not take; their holds will be booked
    EXPIRED_HOLDS = "expired_holds"  # completions that nobody settled in time, booked by the job `sweep`


UNITS: Final[Mapping[Metric, str]] = {
    Metric.REQUESTS: "Count",
    Metric.ERRORS: "Count",
    Metric.GATEWAY_MS: "Milliseconds",
    Metric.FIRST_BYTE_MS: "Milliseconds",
    Metric.TOKENS: "Count",
    Metric.COST_USD: "None",
    Metric.UNSETTLED: "Count",
    Metric.EXPIRED_HOLDS: "Count",
}
OF_JOBS: Final[Mapping[tuple[str, str], Metric]] = {("sweep", "booked as spent"): Metric.EXPIRED_HOLDS}
"""What of a job's report is one, by the job's name and its report's own words."""

_NO_DIMENSION: Final[tuple[str, ...]] = ()


class Metrics:
    """Of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._errors = _directive(namespace, [_NO_DIMENSION, (OUTCOME,)], [Metric.ERRORS])
        every = [Metric.REQUESTS, Metric.GATEWAY_MS]
        begun, completed = [Metric.FIRST_BYTE_MS], [Metric.TOKENS, Metric.COST_USD]
        self._directives = {  # by whether an answer began, and whether there is a record
            (has_begun, has_record): _directive(
                namespace, [_NO_DIMENSION], every + begun * has_begun + completed * has_record
            )
            for has_begun in (False, True)
            for has_record in (False, True)
        }

    def of_request(self, facts: RequestFacts, at_ms: int) -> str:
        """Members beside those of the request's line, which has the outcome and the times; with a comma before."""
        if not facts.path.startswith(COUNTED_BELOW):
            return ""
        record = facts.record
        directives = self._directives[facts.first_byte_s is not None, record is not None]
        members = f',"{Metric.REQUESTS}":1'
        if record is not None:
            cost = usd_text(record.cost_nanousd * PICO_PER_NANO)
            members += f',"{Metric.TOKENS}":{record.tokens.total},"{Metric.COST_USD}":{cost}'
        if (facts.outcome if record is None else record.outcome) in ERRORS:
            directives, members = f"{directives},{self._errors}", f'{members},"{Metric.ERRORS}":1'
        return _told(at_ms, directives) + members

    def of_counts(self, counts: Mapping[Metric, int], at_ms: int) -> str:
        """Members beside a message; with a comma before."""
        members = "".join(f',"{metric}":{count}' for metric, count in counts.items())
        return _told(at_ms, _directive(self._namespace, [_NO_DIMENSION], list(counts))) + members


def _told(at_ms: int, directives: str) -> str:
    return f',"_aws":{{"Timestamp":{at_ms},"CloudWatchMetrics":[{directives}]}}'


def _directive(namespace: str, dimensions: Sequence[Sequence[str]], metrics: Sequence[Metric]) -> str:
    named = [{"Name": metric, "Unit": UNITS[metric]} for metric in metrics]
    directive = {"Namespace": namespace, "Dimensions": dimensions, "Metrics": named}
    return dumps(directive, separators=(",", ":"))
