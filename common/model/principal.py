"""Who is asking: the record of an API key, and the principal that a request acts as."""

from dataclasses import dataclass, field
from enum import StrEnum

from common.model.ids import KeyId, UserId


class Permission(StrEnum):
    """What a key may do."""

    CHAT = "chat"
    MODELS = "models"


DEFAULT_PERMISSIONS = frozenset({Permission.CHAT, Permission.MODELS})


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as it is stored: its hash, never itself."""

    id: KeyId
    key_hash: bytes = field(repr=False)  # SHA-256 of the whole key
    user: UserId
    name: str
    permissions: frozenset[str]  # names, open-ended: a store may hold one that this version does not know
    created_ms: int


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller of one request."""

    key_id: KeyId
    user: UserId
    permissions: frozenset[str]
