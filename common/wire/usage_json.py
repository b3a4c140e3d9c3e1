"""A usage record as one JSON object, for where it is kept outside a database, and its route alone, for databases.

Exact: every number is an integer. A route is compact, since it is most of a record: names are short, what says nothing
is left out, and what has a number for each class of `Tokens` is an array in their order, up to the last that is not 0.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _text
from typing import Any, Final

from common.model.usage import AttemptRecord, Booked, Bounds, CountedIn, Outcome, Tokens, UsageRecord

_dumps: Final = json.JSONEncoder(separators=(",", ":")).encode  # made once: that takes as long as to encode


def record_to_json(record: UsageRecord) -> str:
    """On one line."""
    members: dict[str, Any] = asdict(record) | {"tokens": record.tokens._asdict()}
    del members["route"]
    return f'{_dumps(members)[:-1]},"route":{route_to_json(record.route)}}}'


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
    return f"[{','.join([_attempt_to_json(attempt) for attempt in route])}]"


def route_from_json(text: str) -> tuple[AttemptRecord, ...]:
    """What `route_to_json` wrote. `ValueError` where it is not that."""
    try:
        return tuple(_attempt_from_members(each) for each in json.loads(text))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("not a route") from error


def _attempt_to_json(attempt: AttemptRecord) -> str:
    """Written by hand, which takes a third of the time: each request has one."""
    text = (
        f'{{"provider":{_text(attempt.provider)},"model":{_text(attempt.model)},"ended":{_text(attempt.ended)},'
        f'"ms":{attempt.took_ms},"booked":"{attempt.booked}"'
    )
    if any(attempt.tokens):
        text += f',"tokens":{_listed(attempt.tokens)}'
    if attempt.cost_nanousd:
        text += f',"cost":{attempt.cost_nanousd}'
    if attempt.prices is not None:
        text += f',"prices":{_listed_prices(attempt.prices)}'
    if attempt.request_price:
        text += f',"request":{attempt.request_price}'
    if attempt.provider_request_id is not None:
        text += f',"id":{_text(attempt.provider_request_id)}'
    if attempt.awaits is not None:
        text += f',"awaits":[{attempt.awaits.input},{attempt.awaits.output}]'
    if attempt.gateway_log_id is not None:
        text += f',"log":{_text(attempt.gateway_log_id)}'
    return text + "}"


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
        gateway_log_id=members.get("log"),
    )


def _listed(each: Tokens) -> str:
    found = list(each)
    while found and not found[-1]:
        found.pop()
    return f"[{','.join(map(str, found))}]"


_listed_prices: Final = lru_cache(256)(_listed)  # few targets have most of the attempts
