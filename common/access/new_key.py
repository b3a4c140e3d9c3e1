"""New keys, and new secrets for keys that there are. Pure: randomness and time come from the caller."""

from dataclasses import dataclass, field, replace
from typing import Final

from common.access.api_key import hash_key, new_key
from common.model.principal import KeyRecord

GRACE_MS: Final = 24 * 3_600_000
LONGEST_GRACE_MS: Final = 30 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key, this once with its text: the store has only its hash."""

    record: KeyRecord
    key: str = field(repr=False)


def with_secret(record: KeyRecord, random_bytes: bytes) -> NewKey:
    """`record`, to be found by a key of these bytes and by nothing else. See `api_key.new_key`."""
    key = new_key(random_bytes)
    return NewKey(replace(record, key_hash=hash_key(key), previous_hash=None, grace_until_ms=None), key)


def rotated(record: KeyRecord, random_bytes: bytes, now_ms: int, grace_ms: int = GRACE_MS) -> NewKey:
    """The same with another key; the one there was is good for `grace_ms` more, and the one before it no more."""
    new = with_secret(record, random_bytes)
    if grace_ms <= 0:
        return new
    kept = replace(new.record, previous_hash=record.key_hash, grace_until_ms=now_ms + grace_ms)
    return NewKey(kept, new.key)
