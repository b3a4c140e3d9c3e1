"""Who is asking: the record of an API key, and the principal that a request acts as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from common.model.globs import Globs
from common.model.ids import KeyId, UserId
from common.model.limits import UNLIMITED, Limit, Limits

NOTED_EVERY_MS: Final = 3_600_000  # a use later than this after the one that is noted is noted


class Permission(StrEnum):
    """What a key may do."""

    CHAT = "chat"
    MODELS = "models"
    USAGE_READ = "usage:read"  # what its own requests used
    KEYS_WRITE = "keys:write"  # make and change its user's keys, as far as they may do no more than itself
    ADMIN = "admin"  # everything, of everybody


DEFAULT_PERMISSIONS = frozenset({Permission.CHAT, Permission.MODELS, Permission.USAGE_READ})


Overrides: TypeAlias = Mapping[Limit, int | None]
"""A key's or user's own limits, which win over its plan's: None is unlimited, what is not there is as in the plan."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as it is stored: its hash, never itself.

    After a rotation the hash before it is good until `grace_until_ms`; the one before that is not.
    """

    id: KeyId
    key_hash: bytes = field(repr=False)  # SHA-256 of the whole key
    user: UserId
    name: str
    permissions: frozenset[str]  # names, open-ended: a store may hold one that this version does not know
    created_ms: int
    plan: str = ""  # none: only its own limits bind it
    overrides: Overrides = field(default_factory=dict)
    models: tuple[str, ...] = ()  # patterns of those it may ask for; none: all
    origins: tuple[str, ...] = ()  # of web pages that it may be used on; none: anywhere
    expires_ms: int | None = None
    disabled: bool = False
    previous_hash: bytes | None = field(default=None, repr=False)
    grace_until_ms: int | None = None  # None: nothing before is good
    last_used_ms: int | None = None  # coarse: within `NOTED_EVERY_MS`; never with a new version
    version: int = 1  # of the record, counted by the store


@dataclass(frozen=True, slots=True)
class UserRecord:
    """Limits that bind all keys of a user together."""

    id: UserId
    created_ms: int
    plan: str = ""
    overrides: Overrides = field(default_factory=dict)
    version: int = 0  # as that of a key; 0: not stored yet


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller of one request."""

    key_id: KeyId
    user: UserId
    permissions: frozenset[str]
    key_limits: Limits = UNLIMITED
    user_limits: Limits = UNLIMITED
    max_output_tokens: int | None = None  # what an answer may be at most, where the request does not say
    models: tuple[str, ...] = ()  # patterns; none: all
    origins: tuple[str, ...] = ()  # of web pages; none: anywhere
    expires_ms: int | None = None
    needs_no_storage: bool = (
        False  # its plans let it pass while its limits cannot be asked; never with a budget
    )
    limits: Mapping[str, Limits] = field(
        init=False, compare=False
    )  # what binds it, by the name of the meter's row
    bound_by_money: bool = field(init=False, compare=False)
    globs: Globs = field(init=False, compare=False, repr=False)  # of its models

    def __post_init__(self) -> None:
        """Once per principal, for all its requests."""
        both = {f"key:{self.key_id}": self.key_limits, f"user:{self.user}": self.user_limits}
        limits = {row: limits for row, limits in both.items() if not limits.is_unlimited}
        object.__setattr__(self, "limits", limits)
        object.__setattr__(self, "bound_by_money", any(each.has_budget for each in limits.values()))
        object.__setattr__(self, "globs", Globs(self.models))

    def may_use(self, model: str) -> bool:
        """Whether it may ask for the model, which need not exist."""
        return self.globs.match(model)

    def may(self, permission: str) -> bool:
        """Whether it has the permission; `admin` has all."""
        return permission in self.permissions or Permission.ADMIN in self.permissions
