"""What comes with each request besides its body: from the target, in `scope["sluice"]`, and in its own headers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from common.ports import Background


class Gone:
    """The client has left: set once by the target, heard at once by whoever listens. Nobody has to wait on it."""

    __slots__ = ("_callbacks", "_set")

    def __init__(self) -> None:
        self._set = False
        self._callbacks: list[Callable[[], None]] = []

    def is_set(self) -> bool:
        """Whether the client is known to have left."""
        return self._set

    def set(self) -> None:
        """Say that the client has left; again is the same as once."""
        if self._set:
            return
        self._set = True
        for callback in self._callbacks:
            callback()
        self._callbacks.clear()

    def on_set(self, callback: Callable[[], None]) -> None:
        """Call back when the client leaves, or now where it already has."""
        if self._set:
            callback()
        else:
            self._callbacks.append(callback)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The platform's side of one request; nothing in it is shared between requests but `background`."""

    background: Background
    gone: Gone
    deadline_ms: int | None = None  # UTC; when the platform ends the invocation, where it does


class Wishes(NamedTuple):
    """What a request says in its headers. `session_id` and `trace_id` are for the record alone."""

    session_id: str | None = None
    trace_id: str | None = None
    timeout_s: float | None = None  # of all attempts; None: as configured
    resume: bool = True  # a stream that breaks may be continued elsewhere
