"""A key in words and in JSON."""

from typing import Any, Final

from common.access.authenticate import CACHE_S
from common.access.new_key import NewKey
from common.cli import limits
from common.cli.output import Piece, minute, table
from common.model.principal import KeyRecord

SOON: Final = f"\nA gateway that is running goes by this within {CACHE_S:.0f} s.\n"


def facts(record: KeyRecord) -> list[tuple[str, str]]:
    """Two columns: what is set of what a key may do."""
    told = [
        ("Id", record.id),
        ("User", record.user),
        ("Name", record.name),
        ("Plan", record.plan),
        *limits.facts(record.overrides),
        ("Models", ", ".join(record.models)),
        ("May use", ", ".join(sorted(record.permissions))),
        ("Origins", ", ".join(record.origins)),
        ("Expires", "" if record.expires_ms is None else f"{minute(record.expires_ms)} UTC"),
    ]
    return [(label, text) for label, text in told if text]


def described(record: KeyRecord, now_ms: int) -> list[Piece]:
    """For people."""
    told = [
        *facts(record),
        ("State", state(record, now_ms)),
        ("Created", f"{minute(record.created_ms)} UTC"),
        ("Used", last_use(record)),
    ]
    if record.grace_until_ms is not None and record.grace_until_ms > now_ms:
        told.append(("Rotated", f"the key before is good until {minute(record.grace_until_ms)} UTC"))
    return table(told, ("dim", ""))


def state(record: KeyRecord, now_ms: int) -> str:
    """Whether it is good, in a word."""
    if record.disabled:
        return "disabled"
    return "expired" if record.expires_ms is not None and record.expires_ms <= now_ms else "active"


def last_use(record: KeyRecord) -> str:
    """When it was used, within an hour."""
    return "never" if record.last_used_ms is None else f"{minute(record.last_used_ms)} UTC"


def told_once(new: NewKey) -> list[Piece]:
    """A key's text, on a line of its own."""
    return [(f"{new.key}\n", "bold cyan"), ("Keep it now: it is not shown again.\n\n", "")]


def as_members(record: KeyRecord) -> dict[str, Any]:
    """All that is known of it."""
    return {
        "id": record.id,
        "user": record.user,
        "name": record.name,
        "permissions": sorted(record.permissions),
        "plan": record.plan,
        "limits": limits.as_members(record.overrides),
        "models": list(record.models),
        "origins": list(record.origins),
        "disabled": record.disabled,
        "expires_ms": record.expires_ms,
        "created_ms": record.created_ms,
        "last_used_ms": record.last_used_ms,
        "grace_until_ms": record.grace_until_ms,
    }
