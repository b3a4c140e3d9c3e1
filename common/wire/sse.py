"""Server-Sent Events: `feed(bytes) -> payloads`, without I/O.

A parser keeps these rules, however the bytes are cut:

- An event's payload is what stands behind its `data` fields, joined by line feeds; an event without any is no event.
- Lines end with LF, CRLF or CR, also mixed. Comments, other fields and a byte order mark at the start are dropped.
- What is buffered is bounded: an event longer than `max_event_bytes` raises `EventTooLong`, whether it ends or not.
- What has not ended with an empty line when the stream ends was never an event.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from typing import Final

DONE: Final = b"[DONE]"
KEEP_ALIVE: Final = b": keepalive\n\n"
_BOM: Final = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event passed the parser's bound."""


class SseParser:
    """One stream's parser."""

    __slots__ = ("_buffer", "_max_event_bytes", "_started")

    def __init__(self, max_event_bytes: int) -> None:
        self._buffer = b""
        self._max_event_bytes = max_event_bytes
        self._started = False

    @property
    def between_events(self) -> bool:
        """Whether the bytes so far end where an event does: nothing is held back."""
        return not self._buffer

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of all events that `data` completes, in order."""
        text = self._buffer + data if self._buffer else data
        if not self._started:
            if _BOM.startswith(text) and len(text) < len(_BOM):
                self._buffer = text
                return []
            self._started = True
            text = text.removeprefix(_BOM)
        if b"\r" in text:
            text = _with_line_feeds(text)
        *blocks, self._buffer = text.split(b"\n\n")
        limit = self._max_event_bytes
        if len(text) > limit and max(len(self._buffer), *map(len, blocks)) > limit:
            raise EventTooLong(f"an event is longer than {limit} bytes")
        payloads = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                payloads.append(block[6:])
            elif (payload := _payload(block)) is not None:
                payloads.append(payload)
        return payloads

    def close(self) -> list[bytes]:
        """The payload of an event whose last line end was a CR, held back for an LF that never came."""
        if not self._buffer.endswith(b"\r"):
            return []
        self._buffer = self._buffer[:-1]
        return self.feed(b"\n")


def _with_line_feeds(text: bytes) -> bytes:
    """`text` with every line end as LF, but for a CR at its end: the LF that may belong to it has yet to come."""
    held = text.endswith(b"\r")
    body = text[:-1] if held else text
    body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return body + b"\r" if held else body


def _payload(block: bytes) -> bytes | None:
    """The payload of the lines of one event; None without a `data` field."""
    values = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
    return b"\n".join(values) if values else None


def frame(payload: bytes) -> bytes:
    """`payload` as an event."""
    return b"data: " + payload.replace(b"\n", b"\ndata: ") + b"\n\n"
