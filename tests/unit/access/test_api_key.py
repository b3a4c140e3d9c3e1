"""API keys as strings."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.api_key import RANDOM_BYTES, _checksum, hash_key, is_well_formed, new_key

RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)
KEY = new_key(bytes(range(RANDOM_BYTES)))
DIGITS = string.digits + string.ascii_letters


def test_format() -> None:
    """A key of known bytes is this string for ever: stored hashes are of it."""
    assert KEY == "sk-sluice-003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0gtPaA"


@given(RANDOM)
def test_new_key(random_bytes: bytes) -> None:
    """A prefix, 43 base-62 digits and 6 more; it is well-formed."""
    key = new_key(random_bytes)
    assert key.startswith("sk-sluice-")
    assert len(key) == 59
    assert set(key[10:]) <= set(DIGITS)
    assert is_well_formed(key)


@given(RANDOM, RANDOM)
def test_no_randomness_is_lost(one: bytes, other: bytes) -> None:
    """Different bytes make different keys, the extreme ones too."""
    assert (new_key(one) == new_key(other)) == (one == other)
    assert new_key(b"\xff" * RANDOM_BYTES) != new_key(b"\xff" * (RANDOM_BYTES - 1) + b"\xfe")


def test_any_changed_character() -> None:
    """A key with one wrong character, anywhere and whatever it is, is no key."""
    for at in range(len(KEY)):
        for char in string.printable + "é\uff10\u200b":
            assert is_well_formed(KEY[:at] + char + KEY[at + 1 :]) == (char == KEY[at])


@given(RANDOM, st.integers(0, 58), st.characters())
def test_a_changed_character(random_bytes: bytes, at: int, char: str) -> None:
    """The same of any key."""
    key = new_key(random_bytes)
    assert is_well_formed(key[:at] + char + key[at + 1 :]) == (char == key[at])


@given(RANDOM, st.integers(0, 57))
def test_swapped_neighbours(random_bytes: bytes, at: int) -> None:
    """Two characters in the wrong order are noticed."""
    key = new_key(random_bytes)
    swapped = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
    assert is_well_formed(swapped) == (swapped == key)


@pytest.mark.parametrize(
    "key",
    [
        *(KEY[:-1], KEY[1:], KEY + "0", "0" + KEY, KEY + "\n", " " + KEY, KEY.upper(), KEY.lower(), KEY * 2),
        *(
            "",
            "sk-sluice-",
            "sk-proj-" + KEY[10:],
            KEY[:10] + "0" * 49,
            "sk_sluice-" + KEY[10:],
            "x" * 100_000,
        ),
        KEY.replace("0", "\u0660"),
    ],
)
def test_not_well_formed(key: str) -> None:
    """Cut, longer, in the wrong case, of somebody else: no key."""
    assert not is_well_formed(key)


def test_longer_with_its_own_checksum() -> None:
    """A longer string is no key, even with the checksum that it should have."""
    assert KEY[-6:] == _checksum(KEY[:-6])
    for body in (KEY[:-6] + "0", KEY[:-7], KEY + "\n", KEY):
        assert not is_well_formed(body + _checksum(body))


def test_hash() -> None:
    """SHA-256 of the whole key, prefix and checksum too."""
    assert hash_key(KEY) == hashlib.sha256(KEY.encode()).digest()
