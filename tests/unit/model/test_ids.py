"""Identifiers."""

import random
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.ids import BASE36, BASE62, in_base, new_key_id, new_request_id

SECONDS = st.integers(0, 36**6 - 1)


def test_request_id() -> None:
    """`req_`, the expiry second in six digits, ten random ones; the same source of randomness gives the same id."""
    request_id = new_request_id(1_790_000_000, random.Random(1))
    assert re.fullmatch(r"req_tlpwu8[0-9a-z]{10}", request_id)
    assert request_id == new_request_id(1_790_000_000, random.Random(1))


@given(SECONDS, SECONDS, st.integers())
def test_order_by_expiry(one: int, other: int, seed: int) -> None:
    """Ids sort as their holds expire, and tell when."""
    rng = random.Random(seed)
    first, second = new_request_id(one, rng), new_request_id(other, rng)
    if one != other:
        assert (first < second) == (one < other)
    assert int(first[4:10], 36) == one


def test_last_second() -> None:
    """The digits of the expiry last until December 2038."""
    assert new_request_id(36**6 - 1, random.Random(1)).startswith("req_zzzzzz")
    last = datetime.fromtimestamp(36**6 - 1, UTC)
    assert (last.year, last.month) == (2038, 12)


def test_no_request_id_twice() -> None:
    """A hundred thousand requests in one second have as many ids."""
    rng = random.Random(1)
    assert len({new_request_id(1_790_000_000, rng) for _ in range(100_000)}) == 100_000


def test_no_key_id_twice() -> None:
    """Key ids are `key_` and 12 random digits."""
    rng = random.Random(1)
    ids = {new_key_id(rng) for _ in range(20_000)}
    assert len(ids) == 20_000
    assert all(re.fullmatch(r"key_[0-9a-z]{12}", key_id) for key_id in ids)


@given(st.integers(0, 36**8 - 1))
def test_base_36(number: int) -> None:
    """Digits of base 36 are read back by `int`."""
    assert int(in_base(number, BASE36, 8), 36) == number


@pytest.mark.parametrize(
    ("number", "width", "digits"),
    [
        (0, 1, "0"),
        (61, 1, "z"),
        (62, 2, "10"),
        (62, 4, "0010"),
        (62, 1, "0"),
        (62**3 + 5, 2, "05"),
        (5, 0, ""),
    ],
)
def test_base_62(number: int, width: int, digits: str) -> None:
    """Exactly so many digits: leading zeros, or without the higher ones."""
    assert in_base(number, BASE62, width) == digits
