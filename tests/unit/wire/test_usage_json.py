"""A usage record and its route as JSON: exact, compact, and readable in whatever version it was written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.usage import AttemptRecord, Booked, Tokens
from common.wire.usage_json import record_from_json, record_to_json, route_from_json, route_to_json
from tests.support.records import ANSWERED, BROKEN, UNSENT, as_of_old, misbooked, usage_record

LATER = {"gateway_us", "storage_us", "route", "session_id", "trace_id", "end_user"}
counts = st.integers(0, 2**53 - 1)
tokens = st.builds(Tokens, *[counts] * 7)
attempts = st.builds(
    AttemptRecord,
    provider=st.text(),
    model=st.text(),
    ended=st.text(),
    took_ms=counts,
    booked=st.sampled_from(Booked),
    tokens=tokens,
    cost_nanousd=counts,
    prices=st.none() | tokens,
    request_price=counts,
    provider_request_id=st.none() | st.text(),
    gateway_log_id=st.none() | st.text(),
)


@given(st.lists(attempts, max_size=4).map(tuple))
def test_every_route_comes_back(route: tuple[AttemptRecord, ...]) -> None:
    """What is read is what was written, whatever it is, and it is one line of ASCII."""
    text = route_to_json(route)
    assert route_from_json(text) == route
    assert text.isascii()
    assert text.isprintable()


def test_route() -> None:
    """What says nothing is left out; classes are arrays in their order, up to the last that says something."""
    assert json.loads(route_to_json([UNSENT, BROKEN])) == [
        {
            "provider": "embedded",
            "model": "demo",
            "ended": "model_unavailable",
            "ms": 0,
            "booked": "nothing",
        },
        {
            "provider": "backup",
            "model": "some/mini; 'quoted'",
            "ended": "provider_error",
            "ms": 1900,
            "booked": "usage",
            "tokens": [2],
            "cost": 405,
            "prices": [200_000, 200_000, 0, 800_000],
            "request": 5_000,
        },
    ]


def test_size() -> None:
    """An attempt with a value in every field is small, so that records of two fit what DynamoDB writes as one unit."""
    assert len(route_to_json([ANSWERED])) <= 270
    assert len(route_to_json([UNSENT])) <= 100


@pytest.mark.parametrize(
    "text", ["", "{", "5", "null", "[5]", "[[]]", "[{}]", '["x"]', '[{"provider":"a"}]', '{"a":1}']
)
def test_what_is_no_route(text: str) -> None:
    """Anything else is a `ValueError`."""
    with pytest.raises(ValueError):
        route_from_json(text)


def test_record_of_before() -> None:
    """A record that was written before it had all its fields is read, and what was not known stays unknown."""
    record = usage_record(3)
    members = json.loads(record_to_json(record))
    old = {name: value for name, value in members.items() if name not in LATER}
    assert len(old) == len(members) - len(LATER)
    assert record_from_json(json.dumps(old)) == as_of_old(record)


def test_records_of_tests_add_up() -> None:
    """The records that tests are made with are such as the gateway makes."""
    assert misbooked(usage_record(7)) is None
