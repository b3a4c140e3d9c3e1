"""`x-ratelimit-*`: times as OpenAI writes them."""

import pytest

from common.gateway.ratelimit import go_duration, ratelimit_headers
from common.model.limits import Headroom, Room


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (12, "12ms"),
        (999, "999ms"),
        (1_000, "1s"),
        (1_500, "1.5s"),
        (1_005, "1.005s"),
        (60_000, "1m0s"),
        (3_600_000, "1h0m0s"),
        (86_399_000, "23h59m59s"),
        (86_400_000, "24h0m0s"),
    ],
)
def test_durations(milliseconds: int, text: str) -> None:
    """As Go writes durations, which OpenAI's clients read: the largest unit first, and none below it left out."""
    assert go_duration(milliseconds) == text


def test_headers_of_what_is_limited() -> None:
    """Three for requests and three for tokens, each only where that is limited."""
    rooms = Room(limit=60, remaining=59, reset_ms=1_500), Room(limit=1_000, remaining=0, reset_ms=60_000)
    requests = {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"59",
        b"x-ratelimit-reset-requests": b"1.5s",
    }
    tokens = {
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-tokens": b"1m0s",
    }
    assert dict(ratelimit_headers(Headroom(*rooms))) == requests | tokens
    assert dict(ratelimit_headers(Headroom(rooms[0], None))) == requests
    assert dict(ratelimit_headers(Headroom(None, rooms[1]))) == tokens
    assert dict(ratelimit_headers(Headroom(None, None))) == {}
