"""A usage record as one JSON object, for where it is kept outside a database, and its route alone, for databases.

Exact: every number is an integer. A route is compact, since it is most of a record: names are short, what says nothing
is left out, and what has a number for each class of `Tokens` is an array in their order, up to the last that is not 0.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from common.model.usage import AttemptRecord, Booked, Bounds, CountedIn, Outcome, Tokens, UsageRecord

_dumps: Final = json.JSONEncoder(separators=(",", ":")).encode  # made once: that takes as long as to encode


def record_to_json(record: UsageRecord) -> str:
    """On one line."""
    members: dict[str, Any] = asdict(record) | {"tokens": record.tokens._asdict()}
    return _dumps(members | {"route": [_attempt_to_members(attempt) for attempt in record.route]})


def record_from_json(text: str) -> UsageRecord:
    """What `record_to_json` wrote, now or before the record had all its fields. `ValueError` where it is not that."""
    try:
        members = json.loads(text)
        tokens, outcome = Tokens(**members.pop("tokens")), Outcome(members.pop("outcome"))
        route = tuple(_attempt_from_members(each) for each in members.pop("route", ()))
        awaiting = members.pop("awaiting", None)
        counted = None if awaiting is None else CountedIn(awaiting)
        return UsageRecord(**members, tokens=tokens, outcome=outcome, route=route, awaiting=counted)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("not a usage record") from error


def route_to_json(route: Sequence[AttemptRecord]) -> str:
    """On one line, some 230 bytes for an attempt."""
    return _dumps([_attempt_to_members(attempt) for attempt in route])


def route_from_json(text: str) -> tuple[AttemptRecord, ...]:
    """What `route_to_json` wrote. `ValueError` where it is not that."""
    try:
        return tuple(_attempt_from_members(each) for each in json.loads(text))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("not a route") from error


def _attempt_to_members(attempt: AttemptRecord) -> dict[str, Any]:
    members: dict[str, Any] = {
        "provider": attempt.provider,
        "model": attempt.model,
        "ended": attempt.ended,
        "ms": attempt.took_ms,
        "booked": attempt.booked,
    }
    if any(attempt.tokens):
        members["tokens"] = _listed(attempt.tokens)
    if attempt.cost_nanousd:
        members["cost"] = attempt.cost_nanousd
    if attempt.prices is not None:
        members["prices"] = _listed(attempt.prices)
    if attempt.request_price:
        members["request"] = attempt.request_price
    if attempt.provider_request_id is not None:
        members["id"] = attempt.provider_request_id
    if attempt.awaits is not None:
        members["awaits"] = list(attempt.awaits)
    return members


def _attempt_from_members(members: dict[str, Any]) -> AttemptRecord:
    prices, awaits = members.get("prices"), members.get("awaits")
    return AttemptRecord(
        provider=members["provider"],
        model=members["model"],
        ended=members["ended"],
        took_ms=members["ms"],
        booked=Booked(members["booked"]),
        tokens=Tokens(*members.get("tokens", ())),
        cost_nanousd=members.get("cost", 0),
        prices=None if prices is None else Tokens(*prices),
        request_price=members.get("request", 0),
        provider_request_id=members.get("id"),
        awaits=None if awaits is None else Bounds(*awaits),
    )


def _listed(each: Tokens) -> list[int]:
    found = list(each)
    while found and not found[-1]:
        found.pop()
    return found
