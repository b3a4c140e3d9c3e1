"""How many calls for randomness are excused just now."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_left = 0
_listeners: list[Callable[[], None]] = []


def on_change(listener: Callable[[], None]) -> None:
    """Call `listener`, and no other, before the number changes: what was drawn until then counts by the old one."""
    _listeners[:] = [listener]


@contextmanager
def allow_bad_entropy_calls(count: int) -> Iterator[None]:
    """Excuse the next `count` calls made inside."""
    global _left  # noqa: PLW0603 - as in workerd: one interpreter, one number
    _tell()
    before, _left = _left, count
    try:
        yield
    finally:
        _tell()
        _left = before


def take(count: int) -> int:
    """Use up to `count` excuses; how many there were."""
    global _left  # noqa: PLW0603
    taken = min(count, _left)
    _left -= taken
    return taken


def _tell() -> None:
    for listener in _listeners:
        listener()
