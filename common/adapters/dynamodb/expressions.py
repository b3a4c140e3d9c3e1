"""Plans as expressions, and rows as items: one item for each row, under the row's name.

    attribute                      in the item
    pk                             the row's name: `key:...` or `user:...`
    w p q t x y z                  sub_window, in_flight, day_requests, day_tokens, committed_day, _month, _total
    a ... n                        requests_0 ... requests_13
    A ... N                        tokens_0 ... tokens_13
    o                              open holds: a map from their ids without `req_` to their bytes
    r                              the key of the index that lists them: `m` of rows, `w` of records that await figures

Names are one letter because they are paid for in every item: an item of at most 1 KB costs one write unit, and 32 holds
take most of that. No single letter is among the words that an expression may not name.

Conditions cannot compute, and a SET can add to an attribute once: this is what a `Plan` asks, and all that it asks.
"""

from collections.abc import Iterable, Mapping
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final

from common.adapters.dynamodb.client import Item
from common.metering.plan import Plan
from common.metering.standing import (
    ATTRIBUTES,
    COMMITTED_DAY,
    COMMITTED_MONTH,
    COMMITTED_TOTAL,
    DAY_REQUESTS,
    DAY_TOKENS,
    EMPTY,
    IN_FLIGHT,
    Standing,
)
from common.metering.window import REQUESTS, SUB_WINDOW, TOKENS
from common.model.ids import RequestId

SHORT: Final[Mapping[str, str]] = {
    SUB_WINDOW: "w",
    IN_FLIGHT: "p",
    DAY_REQUESTS: "q",
    DAY_TOKENS: "t",
    COMMITTED_DAY: "x",
    COMMITTED_MONTH: "y",
    COMMITTED_TOTAL: "z",
    **dict(zip(REQUESTS, ascii_lowercase, strict=False)),
    **dict(zip(TOKENS, ascii_uppercase, strict=False)),
}
KIND: Final = "r"
ROW: Final = "m"
AWAITING: Final = "w"
_PREFIX: Final = "req_"
_COLUMNS: Final = tuple((name, SHORT[name]) for name in ATTRIBUTES)


class _Placeholders:
    """Values and hold ids of one request, each named once."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}
        self.names: dict[RequestId, str] = {}

    def number(self, value: int) -> str:
        """Of an integer."""
        return self._value("N", str(value))

    def text(self, text: str) -> str:
        """Of a hold's bytes, which are base64 in JSON as they are in a plan."""
        return self._value("B", text)

    def hold(self, hold_id: RequestId) -> str:
        """The path of a hold."""
        return "o." + self.names.setdefault(hold_id, f"#{len(self.names)}")

    def _value(self, kind: str, value: str) -> str:
        return self.values.setdefault((kind, value), f":{len(self.values)}")

    def fields(self) -> dict[str, Any]:
        """As a request has them; DynamoDB refuses empty ones."""
        fields: dict[str, Any] = {}
        if self.names:
            fields["ExpressionAttributeNames"] = {
                short: hold_id.removeprefix(_PREFIX) for hold_id, short in self.names.items()
            }
        if self.values:
            fields["ExpressionAttributeValues"] = {
                short: {kind: value} for (kind, value), short in self.values.items()
            }
        return fields


def changes_nothing(plan: Plan) -> bool:
    """Whether a plan is only a question."""
    return not (plan.set_to or plan.add or plan.put or plan.remove)


def expressions(plan: Plan) -> dict[str, Any]:
    """The condition, the update unless the plan is a question, and what their placeholders stand for."""
    placeholders = _Placeholders()
    fields = {"ConditionExpression": " AND ".join(_guards(plan, placeholders))}
    if update := _update(plan, placeholders):
        fields["UpdateExpression"] = update
    return fields | placeholders.fields()


def _guards(plan: Plan, placeholders: _Placeholders) -> Iterable[str]:
    yield "attribute_exists(pk)"  # an absent hold is absent from a missing item too, which has no map to put it in
    for name, value in plan.equal.items():
        yield f"{SHORT[name]} = {placeholders.number(value)}"
    for name, most in plan.at_most.items():
        yield f"{SHORT[name]} <= {placeholders.number(most)}"
    for hold_id, text in plan.holds.items():
        path = placeholders.hold(hold_id)
        yield f"attribute_not_exists({path})" if text is None else f"{path} = {placeholders.text(text)}"


def _update(plan: Plan, placeholders: _Placeholders) -> str:
    sets = [f"{SHORT[name]} = {placeholders.number(value)}" for name, value in plan.set_to.items()]
    for name, by in plan.add.items():
        short = SHORT[name]
        sets.append(f"{short} = {short} + {placeholders.number(by)}")
    sets += [
        f"{placeholders.hold(hold_id)} = {placeholders.text(text)}" for hold_id, text in plan.put.items()
    ]
    removes = [placeholders.hold(hold_id) for hold_id in plan.remove]
    clauses = [("SET ", sets), ("REMOVE ", removes)]
    return " ".join(keyword + ", ".join(actions) for keyword, actions in clauses if actions)


def to_item(row: str, standing: Standing = EMPTY) -> Item:
    """The item of a row."""
    item: dict[str, Any] = {short: {"N": str(standing.counts[name])} for name, short in _COLUMNS}
    holds = {hold_id.removeprefix(_PREFIX): {"B": text} for hold_id, text in standing.holds.items()}
    return {"pk": {"S": row}, **item, "o": {"M": holds}, KIND: {"S": ROW}}


def to_standing(item: Item) -> Standing:
    """What an item says."""
    counts = {name: int(item[short]["N"]) for name, short in _COLUMNS}
    holds = {RequestId(_PREFIX + name): value["B"] for name, value in item["o"]["M"].items()}
    return Standing(counts, holds)
