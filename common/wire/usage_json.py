"""A usage record as one JSON object, for where it is kept outside a database. Exact: every number is an integer."""

import json
from dataclasses import asdict
from typing import Any

from common.model.usage import Outcome, Tokens, UsageRecord


def record_to_json(record: UsageRecord) -> str:
    """On one line."""
    members: dict[str, Any] = asdict(record) | {"tokens": record.tokens._asdict()}
    return json.dumps(members, separators=(",", ":"))


def record_from_json(text: str) -> UsageRecord:
    """What `record_to_json` wrote. `ValueError` where it is not that."""
    try:
        members = json.loads(text)
        tokens, outcome = Tokens(**members.pop("tokens")), Outcome(members.pop("outcome"))
        return UsageRecord(**members, tokens=tokens, outcome=outcome)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("not a usage record") from error
