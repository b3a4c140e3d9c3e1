"""Attribute values of keys and users, in DynamoDB's own types, so that a person can read them in its console."""

from collections.abc import Sequence
from typing import Any, Final

from common.adapters.dynamodb.client import Item
from common.model.limits import Limit
from common.model.principal import Overrides

_UNLIMITED: Final = {"NULL": True}


def texts(values: Sequence[str]) -> dict[str, Any]:
    """Strings in their order."""
    return {"L": [{"S": each} for each in values]}


def to_texts(item: Item, name: str) -> list[str]:
    """What `texts` says."""
    return [each["S"] for each in item[name]["L"]]


def limits(overrides: Overrides) -> dict[str, Any]:
    """A key's or user's own limits: a map by name, null for unlimited."""
    return {
        "M": {
            limit.value: _UNLIMITED if value is None else {"N": str(value)}
            for limit, value in overrides.items()
        }
    }


def to_limits(item: Item, name: str) -> Overrides:
    """What `limits` says."""
    members = item[name]["M"].items()
    return {Limit(limit): None if "NULL" in value else int(value["N"]) for limit, value in members}


def to_number(item: Item, name: str) -> int | None:
    """An integer; None where there is none."""
    return int(item[name]["N"]) if name in item else None
