"""Whom a client asks for, such that records of one person can be told apart from others, and name nobody. Pure."""

import hmac
from typing import Final

from common.settings import Secret

_BYTES: Final = 16  # of 32; enough that no two of any number of people have the same


def hashed_end_user(key: Secret | None, end_user: str | None) -> str | None:
    """HMAC-SHA-256 of the client's word for a person, its first 128 bits in hexadecimal; None where either is missing.

    Who does not have the key can't find out whether a guessed name is in the records.
    """
    if key is None or end_user is None:
        return None
    digest = hmac.digest(key.value.encode(), end_user.encode("utf-8", "surrogatepass"), "sha256")
    return digest[:_BYTES].hex()
