"""Whom a client asks for is kept as a hash that only the holder of the key can make."""

import hashlib
import hmac

import pytest

from common.access.end_user import hashed_end_user
from common.settings import Secret

KEY = Secret("a key of the operator's")


def test_hash() -> None:
    """It is HMAC-SHA-256 by the standard, cut to 128 bits: 32 hexadecimal digits."""
    expected = hmac.new(KEY.value.encode(), b"ada@example.com", hashlib.sha256).hexdigest()
    assert hashed_end_user(KEY, "ada@example.com") == expected[:32]


@pytest.mark.parametrize(
    "other",
    [
        hashed_end_user(KEY, "Ada@example.com"),
        hashed_end_user(Secret("another key of the"), "ada@example.com"),
    ],
    ids=["person", "key"],
)
def test_told_apart(other: str) -> None:
    """Another person, or another key, makes another hash."""
    assert other != hashed_end_user(KEY, "ada@example.com")


@pytest.mark.parametrize(("key", "end_user"), [(None, "ada"), (KEY, None), (None, None)])
def test_nothing_to_record(key: Secret | None, end_user: str | None) -> None:
    """Without a key, or without an end user, there is nothing to record."""
    assert hashed_end_user(key, end_user) is None


@pytest.mark.parametrize(
    "end_user", ["\ud800", "\x00", "x" * 10**6, "é模型"], ids=["surrogate", "nul", "long", "letters"]
)
def test_any_text(end_user: str) -> None:
    """Whatever a client sends has a hash of the same length."""
    assert len(hashed_end_user(KEY, end_user) or "") == 32
