"""Making an API key: randomness and time from the system, the record into a store."""

import random
import secrets
from dataclasses import dataclass, field

from common.access.api_key import RANDOM_BYTES, hash_key, new_key
from common.adapters.clock import SystemClock
from common.model.ids import UserId, new_key_id
from common.model.principal import KeyRecord, Overrides
from common.ports import KeyStore


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key, this once with its text: the store has only its hash."""

    record: KeyRecord
    key: str = field(repr=False)


async def create_key(
    keys: KeyStore,
    user: UserId,
    name: str,
    permissions: frozenset[str],
    *,
    plan: str = "",
    overrides: Overrides | None = None,
) -> NewKey:
    """Make a key and store it. Without a plan and limits of its own, nothing but its user's limits bind it."""
    key = new_key(secrets.token_bytes(RANDOM_BYTES))
    record = KeyRecord(
        id=new_key_id(random.SystemRandom()),
        key_hash=hash_key(key),
        user=user,
        name=name,
        permissions=permissions,
        created_ms=SystemClock().now_ms(),
        plan=plan,
        overrides=overrides or {},
    )
    await keys.create(record)
    return NewKey(record, key)
