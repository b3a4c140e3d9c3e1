"""A user's record in words and in JSON."""

from typing import Any

from common.cli import limits
from common.cli.output import Piece, minute, table
from common.model.principal import UserRecord


def described(record: UserRecord) -> list[Piece]:
    """For people."""
    facts = [
        ("User", record.id),
        ("Plan", record.plan or "none"),
        *(limits.facts(record.overrides) or [("Limits", "none of its own")]),
        ("Since", f"{minute(record.created_ms)} UTC"),
    ]
    return table(facts, ("dim", ""))


def as_members(record: UserRecord) -> dict[str, Any]:
    """All that is known of it."""
    return {
        "user": record.id,
        "plan": record.plan,
        "limits": limits.as_members(record.overrides),
        "created_ms": record.created_ms,
    }
