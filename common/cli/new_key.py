"""Making an API key: randomness and time from the system, the record into a store."""

import random
import secrets

from common.access.api_key import RANDOM_BYTES
from common.access.new_key import NewKey, with_secret
from common.adapters.clock import SystemClock
from common.model.ids import UserId, new_key_id
from common.model.principal import KeyRecord, Overrides
from common.ports import KeyStore


async def create_key(
    keys: KeyStore,
    user: UserId,
    name: str,
    permissions: frozenset[str],
    *,
    plan: str = "",
    overrides: Overrides | None = None,
    models: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
    expires_in_ms: int | None = None,
) -> NewKey:
    """Make a key and store it. Without a plan and limits of its own, nothing but its user's limits bind it."""
    now_ms = SystemClock().now_ms()
    record = KeyRecord(
        id=new_key_id(random.SystemRandom()),
        key_hash=b"",
        user=user,
        name=name,
        permissions=permissions,
        created_ms=now_ms,
        plan=plan,
        overrides=overrides or {},
        models=models,
        origins=origins,
        expires_ms=None if expires_in_ms is None else now_ms + expires_in_ms,
    )
    new = with_secret(record, secrets.token_bytes(RANDOM_BYTES))
    await keys.create(new.record)
    return new
