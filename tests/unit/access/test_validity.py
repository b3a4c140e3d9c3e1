"""Whether a key that was found is good, and until when."""

from dataclasses import replace

import pytest

from common.access.api_key import RANDOM_BYTES, hash_key
from common.access.new_key import GRACE_MS, rotated, with_secret
from common.access.validity import good_until_ms, is_use_to_note
from common.model.errors import AuthenticationFailed
from common.model.ids import KeyId, UserId
from common.model.principal import DEFAULT_PERMISSIONS, NOTED_EVERY_MS, KeyRecord

NOW = 1_790_000_000_000
EMPTY = KeyRecord(KeyId("key_1"), b"", UserId("ada"), "", DEFAULT_PERMISSIONS, NOW)
FIRST = with_secret(EMPTY, bytes(RANDOM_BYTES))
SECOND = rotated(FIRST.record, b"\x01" * RANDOM_BYTES, NOW, 1_000)


def refusal(record: KeyRecord, key: str, now_ms: int) -> str | None:
    """The code of it."""
    with pytest.raises(AuthenticationFailed) as refused:
        good_until_ms(record, hash_key(key), now_ms)
    assert key not in refused.value.message
    return refused.value.code


def test_plain() -> None:
    """A key of which nothing is said is good without an end, and no other is."""
    assert good_until_ms(FIRST.record, hash_key(FIRST.key), NOW) is None
    assert refusal(FIRST.record, SECOND.key, NOW) == "invalid_api_key"


@pytest.mark.parametrize("key", [FIRST.key, SECOND.key])
def test_disabled(key: str) -> None:
    """A disabled key is good for nothing, whichever secret is shown, and however long it would last."""
    assert refusal(replace(SECOND.record, disabled=True, expires_ms=NOW + 9), key, NOW) == "api_key_disabled"


def test_expiry() -> None:
    """It ends with the millisecond that is named."""
    record = replace(FIRST.record, expires_ms=NOW + 5)
    assert good_until_ms(record, hash_key(FIRST.key), NOW + 4) == NOW + 5
    assert refusal(record, FIRST.key, NOW + 5) == "api_key_expired"


def test_grace() -> None:
    """The key before the rotation is good until the grace ends; the new one without an end."""
    assert good_until_ms(SECOND.record, hash_key(SECOND.key), NOW + 10**9) is None
    assert good_until_ms(SECOND.record, hash_key(FIRST.key), NOW + 999) == NOW + 1_000
    assert refusal(SECOND.record, FIRST.key, NOW + 1_000) == "api_key_rotated"


@pytest.mark.parametrize(("expires_ms", "until_ms"), [(NOW + 500, NOW + 500), (NOW + 5_000, NOW + 1_000)])
def test_expiry_within_grace(expires_ms: int, until_ms: int) -> None:
    """Of two ends the earlier one holds."""
    record = replace(SECOND.record, expires_ms=expires_ms)
    assert good_until_ms(record, hash_key(FIRST.key), NOW) == until_ms
    assert good_until_ms(record, hash_key(SECOND.key), NOW) == expires_ms


def test_only_the_newest_before() -> None:
    """Rotated again, the key before the last one is good for nothing, though its grace was not over."""
    third = rotated(SECOND.record, b"\x02" * RANDOM_BYTES, NOW + 1)
    assert refusal(third.record, FIRST.key, NOW + 2) == "invalid_api_key"
    assert good_until_ms(third.record, hash_key(SECOND.key), NOW + 2) == NOW + 1 + GRACE_MS
    assert GRACE_MS == 24 * 3_600_000


def test_no_grace() -> None:
    """Without grace, nothing before is known any more."""
    second = rotated(SECOND.record, b"\x02" * RANDOM_BYTES, NOW, 0)
    assert (second.record.previous_hash, second.record.grace_until_ms) == (None, None)
    assert refusal(second.record, SECOND.key, NOW) == "invalid_api_key"


def test_rotation_keeps_the_rest() -> None:
    """A rotation changes nothing but the secrets."""
    kept = replace(SECOND.record, key_hash=b"", previous_hash=None, grace_until_ms=None)
    assert kept == EMPTY
    assert SECOND.key not in repr(SECOND)
    assert SECOND.record.key_hash.hex() not in repr(SECOND.record)
    assert repr(SECOND.record.key_hash) not in repr(SECOND.record)
    assert repr(SECOND.record.previous_hash) not in repr(SECOND.record)


@pytest.mark.parametrize(
    ("last_ms", "noted"),
    [
        (None, True),
        (NOW, False),
        (NOW - NOTED_EVERY_MS + 1, False),
        (NOW - NOTED_EVERY_MS, True),
        (NOW + 5, False),
    ],
)
def test_use_to_note(last_ms: int | None, noted: bool) -> None:  # noqa: FBT001 - a column of the table
    """A use is noted once in an hour; a clock that is behind the one that noted the last notes nothing."""
    assert is_use_to_note(replace(FIRST.record, last_used_ms=last_ms), NOW) is noted
