"""Whether a key that was found is good, and until when. Pure."""

from hmac import compare_digest

from common.model.errors import AuthenticationFailed
from common.model.principal import NOTED_EVERY_MS, KeyRecord


def good_until_ms(record: KeyRecord, key_hash: bytes, now_ms: int) -> int | None:
    """Until when whoever shows the key of this hash may do so; None: without an end. `AuthenticationFailed`."""
    current = compare_digest(record.key_hash, key_hash)
    before = compare_digest(record.previous_hash or b"", key_hash)
    if not (current or before):
        raise AuthenticationFailed("No such API key.", code="invalid_api_key")
    if record.disabled:
        raise AuthenticationFailed(
            "This API key is disabled. Whoever manages it can enable it again.", code="api_key_disabled"
        )
    ends = [] if record.expires_ms is None else [record.expires_ms]
    if ends and now_ms >= ends[0]:
        raise AuthenticationFailed("This API key has expired. Ask for a new one.", code="api_key_expired")
    if not current:
        ends.append(record.grace_until_ms or 0)
        if now_ms >= ends[-1]:
            raise AuthenticationFailed(
                "This API key was replaced by a new one, and is not good any more: use the new one.",
                code="api_key_rotated",
            )
    return min(ends, default=None)


def is_use_to_note(record: KeyRecord, now_ms: int) -> bool:
    """Whether the use that is noted lies so far back that this one is worth a write."""
    return record.last_used_ms is None or now_ms - record.last_used_ms >= NOTED_EVERY_MS
