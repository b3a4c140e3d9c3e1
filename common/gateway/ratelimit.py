"""`x-ratelimit-*`, as OpenAI spells them: what the meter would decide next. Pure.

The reset is the time until all of the limit is free again, as a Go duration.
Source: https://platform.openai.com/docs/guides/rate-limits (2026-06).
"""

from collections.abc import Iterator

from common.model.limits import Headroom


def ratelimit_headers(headroom: Headroom) -> Iterator[tuple[bytes, bytes]]:
    """Six headers, or three, or none: of what is limited."""
    for what, room in ((b"requests", headroom.requests), (b"tokens", headroom.tokens)):
        if room is not None:
            yield b"x-ratelimit-limit-" + what, b"%d" % room.limit
            yield b"x-ratelimit-remaining-" + what, b"%d" % room.remaining
            yield b"x-ratelimit-reset-" + what, go_duration(room.reset_ms).encode()


def go_duration(milliseconds: int) -> str:
    """`0s`, `12ms`, `1.5s`, `6m0s`, `23h59m59s`."""
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds, rest_ms = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{rest_ms:03d}".rstrip("0") if rest_ms else ""
    text = f"{seconds}{fraction}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
