"""API keys as strings: made, checked for typing errors, hashed. Pure.

`sk-sluice-`, then 43 base-62 digits of 32 random bytes, then 6 of the CRC-32 of all before. The checksum lets a
mistyped or foreign key be refused without asking the store; it is no secret.
"""

import hashlib
import re
import zlib
from typing import Final

from common.model.ids import BASE62, in_base

PREFIX: Final = "sk-sluice-"
RANDOM_BYTES: Final = 32
_RANDOM_DIGITS: Final = 43  # 62^43 > 2^256
_CHECK_DIGITS: Final = 6  # 62^6 > 2^32
_SHAPE: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_DIGITS + _CHECK_DIGITS}}}", re.ASCII)


def new_key(random_bytes: bytes) -> str:
    """The key made of 32 bytes, which must come from the system's own source of randomness."""
    body = PREFIX + in_base(int.from_bytes(random_bytes), BASE62, _RANDOM_DIGITS)
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether it has the shape and the checksum of a key; whether it exists, only a store knows."""
    return _SHAPE.fullmatch(key) is not None and key[-_CHECK_DIGITS:] == _checksum(key[:-_CHECK_DIGITS])


def hash_key(key: str) -> bytes:
    """SHA-256. A key has 256 bits of randomness, so a slow hash would add nothing."""
    return hashlib.sha256(key.encode()).digest()


def _checksum(body: str) -> str:
    return in_base(zlib.crc32(body.encode()), BASE62, _CHECK_DIGITS)
