"""Who is asking: the record of an API key, and the principal that a request acts as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from common.model.ids import KeyId, UserId
from common.model.limits import UNLIMITED, Limit, Limits


class Permission(StrEnum):
    """What a key may do."""

    CHAT = "chat"
    MODELS = "models"


DEFAULT_PERMISSIONS = frozenset({Permission.CHAT, Permission.MODELS})


Overrides: TypeAlias = Mapping[Limit, int | None]
"""A key's or user's own limits, which win over its plan's: None is unlimited, what is not there is as in the plan."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as it is stored: its hash, never itself."""

    id: KeyId
    key_hash: bytes = field(repr=False)  # SHA-256 of the whole key
    user: UserId
    name: str
    permissions: frozenset[str]  # names, open-ended: a store may hold one that this version does not know
    created_ms: int
    plan: str = ""  # none: only its own limits bind it
    overrides: Overrides = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """Limits that bind all keys of a user together."""

    id: UserId
    created_ms: int
    plan: str = ""
    overrides: Overrides = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller of one request."""

    key_id: KeyId
    user: UserId
    permissions: frozenset[str]
    key_limits: Limits = UNLIMITED
    user_limits: Limits = UNLIMITED
    max_output_tokens: int | None = None  # what an answer may be at most, where the request does not say
    limits: Mapping[str, Limits] = field(
        init=False, compare=False
    )  # what binds it, by the name of the meter's row
    bound_by_money: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Once per principal, for all its requests."""
        both = {f"key:{self.key_id}": self.key_limits, f"user:{self.user}": self.user_limits}
        limits = {row: limits for row, limits in both.items() if limits != UNLIMITED}
        object.__setattr__(self, "limits", limits)
        object.__setattr__(self, "bound_by_money", any(each.has_budget for each in limits.values()))
