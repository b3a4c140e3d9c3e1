"""Rows and holds as they are stored, and plans applied to them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from common.metering.apply import apply
from common.metering.plan import Plan
from common.metering.standing import Hold, Standing, expiry_s
from common.model.ids import RequestId
from tests.unit.metering.requests import NOON, Row, hold_id


@given(
    cost=st.integers(0, 2**53),
    tokens=st.integers(0, 2**40),
    off=st.integers(-500_000, 500_000),
    nth=st.integers(0, 10**6),
)
@settings(derandomize=True, database=None, deadline=None)
def test_a_hold_survives_its_text(cost: int, tokens: int, off: int, nth: int) -> None:
    """Encoding loses nothing, and equal texts are equal holds."""
    id_ = hold_id(NOON, nth)
    hold = Hold(id_, cost, tokens, NOON // 5_000 + off)
    assert Hold.decode(id_, hold.encode()) == hold
    assert expiry_s(id_) == NOON // 1000


def test_a_busy_row_fits_into_one_write_unit_of_dynamodb() -> None:
    """M5: 32 holds of 60,000 tokens and $4 and full counters are below 1 KB, where names are one letter.

    Sizes as in the DynamoDB developer guide, "Item sizes and formats": a number has a byte per two digits and one
    more, a map three bytes and one per pair.
    """
    row = Row()
    for nth in range(32):
        row.admits(NOON + nth * 2_000, 4 * 10**9, 60_000)
    counts = {name: 98_765 if "requests" in name else 987_654 for name in row.standing.counts}
    counts |= {name: 123_456_789_012 for name in counts if "committed" in name}
    counts |= {name: 98 for name in counts if name.startswith("requests")}
    numbers = sum(1 + 1 + (len(str(count)) + 1) // 2 for count in counts.values())
    holds = sum(
        len(hold_id) - len("req_") + len(text) * 3 // 4 + 1 for hold_id, text in row.standing.holds.items()
    )
    key = len("pk") + len("m#key_0123456789ab")
    assert key + numbers + len("h") + 3 + holds < 1_024


def test_a_guard_that_does_not_hold_changes_nothing() -> None:
    """Every kind of guard is asked, whatever the others say."""
    row = Standing({"a": 5}, {RequestId("x"): "one"})
    holds = RequestId("x")
    assert apply(row, Plan(equal={"a": 4}, add={"a": 1})) is None
    assert apply(row, Plan(at_most={"a": 4}, add={"a": 1})) is None
    assert apply(row, Plan(holds={holds: None}, add={"a": 1})) is None
    assert apply(row, Plan(holds={holds: "two"}, add={"a": 1})) is None
    done = Plan(
        equal={"a": 5}, at_most={"a": 5}, holds={holds: "one"}, set_to={"a": 7}, put={RequestId("y"): "new"}
    )
    assert apply(row, done) == Standing({"a": 7}, {holds: "one", RequestId("y"): "new"})
    assert apply(row, Plan(add={"a": -2}, remove=(holds,))) == Standing({"a": 3}, {})
