"""Plans as the text that DynamoDB gets, and rows as items."""

import json
import random
from base64 import b64decode
from typing import Any, Final

import pytest

from common.adapters.dynamodb.client import Item
from common.adapters.dynamodb.expressions import SHORT, changes_nothing, expressions, to_item, to_standing
from common.metering import decision
from common.metering.decision import Actual, Ask
from common.metering.plan import SWEPT_AT_ONCE, Plan
from common.metering.standing import ATTRIBUTES, EMPTY, IN_FLIGHT, Hold, Standing
from common.metering.window import REQUESTS, SUB_WINDOW, SUB_WINDOW_MS, TOKENS
from common.model.ids import BASE36, RequestId, in_base, new_request_id
from common.model.limits import MAX_NANOUSD, Limits

NOW_MS: Final = 1_790_000_000_000
INDEX: Final = NOW_MS // SUB_WINDOW_MS  # 358,000,000: slot 8 of the ring


def hold_id(expires_in_s: int, nth: int) -> RequestId:
    """The nth id of a hold that expires in so many seconds."""
    return RequestId(f"req_{in_base(NOW_MS // 1000 + expires_in_s, BASE36, 6)}{in_base(nth, BASE36, 10)}")


FIRST, SECOND = hold_id(600, 1), hold_id(600, 2)
FIRST_NAME, SECOND_NAME = FIRST.removeprefix("req_"), SECOND.removeprefix("req_")
HOLD: Final = Hold(FIRST, 4_000_000_000, 60_000, INDEX)
NEW: Final = Hold(SECOND, 4_000_000_000, 60_000, INDEX)


def row(*holds: Hold, index: int = INDEX, **counts: int) -> Standing:
    """A row with these holds."""
    every = dict.fromkeys(ATTRIBUTES, 0) | {SUB_WINDOW: index, IN_FLIGHT: len(holds)} | counts
    return Standing(every, {hold.id: hold.encode() for hold in holds})


def admission(standing: Standing, limits: Limits) -> Plan:
    """The plan of a request for the second hold."""
    plan = decision.admit(standing, limits, Ask(SECOND, NEW.cost_nanousd, NEW.tokens), NOW_MS)
    assert isinstance(plan, Plan)
    return plan


ADMITTED = admission(row(), Limits(requests_per_minute=60, max_parallel=32, budget_month=50 * 10**9))
SETTLED = decision.settle(row(HOLD), FIRST, Actual(1_000, 10), NOW_MS)
EXPIRED = Hold(hold_id(-1, 3), 5, 7, INDEX)
OPENING = admission(row(EXPIRED, index=INDEX - 1, requests_7=3), Limits(budget_total=50 * 10**9))
CORRECTED = decision.correct(row(index=INDEX + 20), HOLD, Actual(1_000, 10), NOW_MS)

TEXTS: Final = [
    (
        "admission",
        ADMITTED,
        (
            "attribute_exists(pk) AND w = :0 AND i <= :1 AND p <= :2 AND y <= :3 AND z <= :4 "
            "AND attribute_not_exists(o.#0)"
        ),
        (
            "SET i = i + :5, q = q + :5, p = p + :5, I = I + :6, t = t + :6, "
            "x = x + :7, y = y + :7, z = z + :7, o.#0 = :8"
        ),
        {"#0": SECOND_NAME},
        [
            *(358_000_000, 59, 31, 46 * 10**9, MAX_NANOUSD - 4 * 10**9),
            *(1, 60_000, 4 * 10**9, NEW.encode()),
        ],
    ),
    (
        "settlement",
        SETTLED,
        "attribute_exists(pk) AND w <= :0 AND o.#0 = :1",
        "SET p = p + :2, I = I + :3, t = t + :3, x = x + :4, y = y + :4, z = z + :4 REMOVE o.#0",
        {"#0": FIRST_NAME},
        [358_000_013, HOLD.encode(), -1, -59_990, -3_999_999_000],
    ),
    (
        "admission that opens a sub-window and sweeps a hold",
        OPENING,
        "attribute_exists(pk) AND w = :0 AND h = :1 AND z <= :2 AND o.#0 = :3 AND attribute_not_exists(o.#1)",
        (
            "SET w = :4, i = :5, I = :6, p = p + :7, q = q + :5, t = t + :6, "
            "x = x + :8, y = y + :8, z = z + :8, o.#1 = :9 REMOVE o.#0"
        ),
        {"#0": EXPIRED.id[4:], "#1": SECOND_NAME},
        [357_999_999, 3, 46 * 10**9, EXPIRED.encode(), 358_000_000, 1, 60_000, 0, 4 * 10**9, NEW.encode()],
    ),
    (
        "correction of an older sub-window",
        CORRECTED,
        "attribute_exists(pk) AND w <= :0 AND attribute_not_exists(o.#0)",
        "SET t = t + :1, x = x + :2, y = y + :2, z = z + :2",
        {"#0": FIRST_NAME},
        [358_007_039, -59_990, -3_999_999_000],
    ),
    (
        "question",
        Plan(holds={FIRST: HOLD.encode(), SECOND: None}),
        "attribute_exists(pk) AND o.#0 = :0 AND attribute_not_exists(o.#1)",
        None,
        {"#0": FIRST_NAME, "#1": SECOND_NAME},
        [HOLD.encode()],
    ),
    ("nothing", Plan(), "attribute_exists(pk)", None, None, None),
]


@pytest.mark.parametrize(
    ("plan", "condition", "update", "names", "values"), [t[1:] for t in TEXTS], ids=[t[0] for t in TEXTS]
)
def test_texts(
    plan: Plan, condition: str, update: str | None, names: dict[str, str], values: list[Any]
) -> None:
    """A plan is one condition and one update, whose placeholders stand for each value and each hold once."""
    typed = [{"N": str(each)} if isinstance(each, int) else {"B": each} for each in values or ()]
    fields = {
        "ConditionExpression": condition,
        "UpdateExpression": update,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": {f":{n}": each for n, each in enumerate(typed)} or None,
    }
    assert expressions(plan) == {name: field for name, field in fields.items() if field is not None}
    assert changes_nothing(plan) == (update is None)


def test_largest_plan() -> None:
    """Of all limits, a new year and as many expired holds as are swept at once, within DynamoDB's limits.

    4 KB for an expression, 300 operators and functions in it, 2 MB for all names and values.
    """
    holds = [Hold(hold_id(-1, n), MAX_NANOUSD, 2**31, INDEX) for n in range(70)]
    plan = admission(row(*holds, index=1, requests_1=9), Limits(*[10**6] * 5, *[MAX_NANOUSD] * 3))
    assert len(plan.remove) == SWEPT_AT_ONCE
    fields = expressions(plan)
    assert len(fields["ConditionExpression"]) < 4_096
    assert len(fields["UpdateExpression"]) < 4_096
    condition = fields["ConditionExpression"]
    assert condition.count("AND") + condition.count("=") + condition.count("(") < 300


def test_short_names() -> None:
    """Every attribute has a name of one letter, none has that of another, of the key or of the holds."""
    assert set(SHORT) == set(ATTRIBUTES)
    assert len(set(SHORT.values())) == len(ATTRIBUTES)
    assert all(len(short) == 1 for short in SHORT.values())
    assert not {"pk", "o"} & set(SHORT.values())


@pytest.mark.parametrize(
    "standing", [EMPTY, row(), row(HOLD, NEW, committed_total=2**53 - 1)], ids=["empty", "no holds", "holds"]
)
def test_items(standing: Standing) -> None:
    """What an item says is the row that it was made of, also after it was JSON."""
    assert to_standing(json.loads(json.dumps(to_item("key:1", standing)))) == standing


def size(value: Item) -> int:
    """Bytes of an attribute value as DynamoDB counts them ("Item sizes and formats" in the developer guide)."""
    ((kind, content),) = value.items()
    match kind:
        case "M":
            return 3 + sum(len(name.encode()) + size(each) + 1 for name, each in content.items())
        case "N":
            return 1 + (len(content.strip("-").strip("0")) + 1) // 2
        case "B":
            return len(b64decode(content))
        case "S":
            return len(content.encode())
        case _:
            return 1


def test_busy_row_is_one_write_unit() -> None:
    """M5: 32 holds of 60,000 tokens and some $4 each, in a key that is busy all day, are below 1 KB."""
    rng = random.Random(1)
    counts = dict.fromkeys(REQUESTS, 37) | dict.fromkeys(TOKENS, 234_567)
    counts |= {"day_requests": 12_345, "day_tokens": 98_765_432}
    counts |= dict.fromkeys(("committed_day", "committed_month", "committed_total"), 123_456_789_123)
    ids = [new_request_id(NOW_MS // 1000 + 600, rng) for _ in range(32)]
    busy = row(*[Hold(id_, 4_123_456_789, 60_000, INDEX) for id_ in ids], **counts)
    item = to_item("key:key_0123456789ab", busy)
    assert sum(len(name) + size(value) for name, value in item.items()) == 1_014
    assert sum(len(name) + size(value) for name, value in to_item("key:key_0123456789ab").items()) < 140
