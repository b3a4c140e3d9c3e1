"""`DeadLetters` in the log: a function has no disk that outlives it. What the record is of is booked by its hold."""

import logging

from common.model.usage import UsageRecord
from common.targets.aws.metrics import Metric
from common.wire.usage_json import record_to_json

_log = logging.getLogger("sluice.dead_letters")


class LoggedDeadLetters:
    """One line for each letter."""

    async def put(self, record: UsageRecord) -> None:
        """See `DeadLetters.put`."""
        counted = {"metrics": {Metric.UNSETTLED: 1}}
        _log.error("a usage record was not settled: %s", record_to_json(record), extra=counted)
