"""The bodies of one request and its answer, as far as they are kept for the log: of each a bounded part.

`JsonLines` and `PlainLines` show them, through the redactor. Until then nothing prints them.
"""

import logging
from dataclasses import dataclass, field
from json import loads
from typing import Any, Final

from common.model.ids import RequestId
from common.telemetry.log_format import BODIES
from common.wire.sse import DONE, EventTooLong, SseParser

LONGEST_KEPT: Final = (
    64 * 1024
)  # bytes of a body, or characters of a stream; what is hidden in it makes it shorter
_LONGEST_EVENT: Final = 2**20
_CHANNELS: Final = 64  # of a stream: choices, and within each content, reasoning, refusal, arguments
_DEEPEST: Final = 6  # levels within a delta
_LONGEST_NAME: Final = 32  # of a member: one that is cut might be the start of a secret
_MOST: Final = 1_000

_log = logging.getLogger(BODIES)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one body. `is_cut`: there was more."""

    text: str = field(repr=False)
    size: int  # bytes, of all of it
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Bodies:
    """Both, of one request."""

    request_id: RequestId
    request: Kept
    answer: tuple[Kept, ...]  # one part; of a stream one for each choice and kind of text

    def __str__(self) -> str:
        return f"bodies of {self.request_id}"


def tell_bodies(bodies: Bodies) -> None:
    """Log them, at INFO."""
    if _log.isEnabledFor(logging.INFO):
        _log.handle(logging.LogRecord(BODIES, logging.INFO, __file__, 0, bodies, None, None))


class BodyKeeper:
    """Keeps the start of a body that comes in pieces."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._size = 0

    def add(self, piece: bytes) -> None:
        """The next piece."""
        self._size += len(piece)
        if len(self._kept) < LONGEST_KEPT:
            self._kept += piece[: LONGEST_KEPT - len(self._kept)]

    def parts(self) -> tuple[Kept, ...]:
        """What is kept."""
        return (self.whole(),)

    def whole(self) -> Kept:
        """The same, of which there is one."""
        return Kept(self._kept.decode("utf-8", "replace"), self._size, self._size > len(self._kept))


class StreamKeeper:
    """Keeps the text of a stream of chat chunks: what the model said, put together, not the events that brought it.

    Put together because a secret may come in several pieces; by choice and kind, because those of several choices
    come in turns. An event that is no chunk is kept as it came: a stream ends with one when it fails.
    """

    def __init__(self) -> None:
        self._parser: SseParser | None = SseParser(_LONGEST_EVENT)
        self._texts: dict[str, list[str]] = {}
        self._kept = 0
        self._size = 0
        self._is_cut = False

    def add(self, piece: bytes) -> None:
        """The next piece of the stream."""
        self._size += len(piece)
        if self._parser is None or self._is_cut:
            return
        try:
            payloads = self._parser.feed(piece)
        except EventTooLong as too_long:
            payloads, self._parser, self._is_cut = too_long.payloads, None, True
        for payload in payloads:
            if payload != DONE:
                self._add_event(payload)

    def parts(self) -> tuple[Kept, ...]:
        """The texts, each with its name: `0.content: Hello`."""
        parts = ((name, "".join(pieces)) for name, pieces in self._texts.items())
        return tuple(Kept(f"{name}: {text}", self._size, self._is_cut) for name, text in parts) or (
            Kept("", self._size, self._is_cut),
        )

    def _add_event(self, payload: bytes) -> None:
        try:
            chunk = loads(payload)
        except (ValueError, RecursionError):
            chunk = None
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        if not isinstance(choices, list) or (isinstance(chunk, dict) and "error" in chunk):
            self._keep("event", payload.decode("utf-8", "replace") + "\n")
            return
        for choice in choices:
            if isinstance(choice, dict):
                self._add_texts(_number(choice, 0), choice.get("delta"))

    def _add_texts(self, name: str, value: Any, depth: int = 0) -> None:
        """All strings of a delta, each under the place where it stands."""
        if isinstance(value, str):
            self._keep(name, value)
        elif depth < _DEEPEST and isinstance(value, dict):
            for key, inner in value.items():
                known = key if len(key) <= _LONGEST_NAME else "other"
                self._add_texts(f"{name}.{known}", inner, depth + 1)
        elif depth < _DEEPEST and isinstance(value, list):
            for place, inner in enumerate(value):
                self._add_texts(f"{name}.{_number(inner, place)}", inner, depth + 1)

    def _keep(self, name: str, text: str) -> None:
        if name not in self._texts and len(self._texts) >= _CHANNELS:
            self._is_cut = True
            return
        room = LONGEST_KEPT - self._kept
        self._is_cut |= len(text) > room
        self._texts.setdefault(name, []).append(text[:room])
        self._kept += min(room, len(text))


def _number(value: Any, place: int) -> str:
    """Which choice, or which call of a tool, a piece belongs to: it says so itself, else by its place."""
    index = value.get("index") if isinstance(value, dict) else None
    return str(index if type(index) is int and 0 <= index < _MOST else place)
