"""A key in JSON."""

from typing import Any

from common.cli import limits
from common.model.principal import KeyRecord


def as_members(record: KeyRecord) -> dict[str, Any]:
    """All that is known of it."""
    return {
        "id": record.id,
        "user": record.user,
        "name": record.name,
        "permissions": sorted(record.permissions),
        "plan": record.plan,
        "limits": limits.as_members(record.overrides),
        "created_ms": record.created_ms,
    }
