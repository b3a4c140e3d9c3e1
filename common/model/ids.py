"""Identifiers: which kinds there are, and how new ones are made.

A `RequestId` is the gateway's own: `req_`, then the hold's expiry second in six base-36 digits, then ten random ones.
Six digits last until December 2038. Ids sort by expiry, and whoever finds one in a store knows when it is stale.
"""

import random
import string
from functools import lru_cache
from typing import Final, NewType

KeyId = NewType("KeyId", str)
RequestId = NewType("RequestId", str)
UserId = NewType("UserId", str)

BASE36: Final = string.digits + string.ascii_lowercase
_DIGITS: Final = (BASE36 * 8)[:256].encode()  # of each byte; that four come a little more often costs no bit
BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase


def in_base(number: int, alphabet: str, width: int) -> str:
    """`number` in the positional system of `alphabet`, exactly `width` digits; higher digits are dropped."""
    base, digits = len(alphabet), []
    for _ in range(width):
        number, digit = divmod(number, base)
        digits.append(alphabet[digit])
    return "".join(reversed(digits))


def new_request_id(expires_s: int, rng: random.Random) -> RequestId:
    """A fresh id for a request whose hold expires at `expires_s` (UTC seconds)."""
    return RequestId(f"req_{_expiry(expires_s)}{rng.randbytes(10).translate(_DIGITS).decode()}")


@lru_cache(maxsize=2)
def _expiry(expires_s: int) -> str:
    return in_base(expires_s, BASE36, 6)


def first_id(expires_s: int) -> str:
    """What sorts before the ids of all requests whose holds expire at `expires_s` (UTC seconds) or later."""
    return f"req_{in_base(min(max(expires_s, 0), len(BASE36) ** 6 - 1), BASE36, 6)}"


def new_key_id(rng: random.Random) -> KeyId:
    """A fresh public name for an API key; it says nothing about the key itself."""
    return KeyId(f"key_{in_base(rng.getrandbits(64), BASE36, 12)}")
