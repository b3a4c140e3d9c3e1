"""Server-Sent Events: `feed(bytes) -> payloads`, without I/O.

A parser keeps these rules, however the bytes are cut:

- An event's payload is what stands behind its `data` fields, joined by line feeds; an event without any is no event.
- Lines end with LF, CRLF or CR, also mixed. Comments, other fields and a byte order mark at the start are dropped.
- An event is told with the byte that ends it: a CR does, without waiting for the LF that may belong to it.
- What is buffered is bounded: an event longer than `max_event_bytes` raises `EventTooLong`, whether it ends or not.
- What has not ended with an empty line when the stream ends was never an event.
- The work is linear in the bytes: an event that comes in many pieces is put together once.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from typing import Final

DONE: Final = b"[DONE]"
KEEP_ALIVE: Final = b": keepalive\n\n"
_BOM: Final = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event passed the parser's bound. `payloads`: of the events before it that the same bytes completed."""

    def __init__(self, limit: int, payloads: list[bytes]) -> None:
        super().__init__(f"an event is longer than {limit} bytes")
        self.payloads = payloads


class SseParser:
    """One stream's parser. Once it has raised, it is of no more use."""

    __slots__ = ("_after_cr", "_held", "_max_event_bytes", "started")

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._held: bytes | bytearray = b""  # of an event that has not ended: there is no empty line in it
        self._after_cr = False  # a line has ended with a CR: an LF that comes next is the same line end
        self.started = False  # past the place of a byte order mark; set by who takes whole events itself

    @property
    def between_events(self) -> bool:
        """Whether the bytes so far end where an event does: nothing is held back."""
        return not self._held

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of all events that `data` completes, in order."""
        if not self.started:
            data = self._behind_mark(data)
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        held = self._held
        if held:
            if b"\n\n" not in data and not (held.endswith(b"\n") and data.startswith(b"\n")):
                self._hold(data)
                return []
            data = b"".join((held, data))
        *blocks, self._held = data.split(b"\n\n")
        if len(data) > self._max_event_bytes:
            self._check(blocks)
        payloads = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                payloads.append(block[6:])
            elif b"data" in block and (payload := _payload(block)) is not None:
                payloads.append(payload)
        return payloads

    def _hold(self, data: bytes) -> None:
        """Append what ends no event."""
        if isinstance(self._held, bytes):
            self._held = bytearray(self._held)  # grows in place, where bytes would be copied for each piece
        self._held += data
        if len(self._held) > self._max_event_bytes:
            self._check([])

    def _behind_mark(self, data: bytes) -> bytes:
        """The start of the stream without its byte order mark; held back while it may be one."""
        data = bytes(self._held) + data
        may_be = len(data) < len(_BOM) and _BOM.startswith(data)
        self._held = data if may_be else b""
        self.started = not may_be
        return b"" if may_be else data.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """`data` with every line end as LF."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check(self, blocks: list[bytes]) -> None:
        """`EventTooLong` for the first that is. The LF of the last line is not counted: it may be an empty line's."""
        limit = self._max_event_bytes
        for index, block in enumerate((*blocks, self._held.removesuffix(b"\n"))):
            if len(block) > limit:
                before = map(_payload, blocks[:index])
                raise EventTooLong(limit, [payload for payload in before if payload is not None])


def _payload(block: bytes) -> bytes | None:
    """The payload of the lines of one event; None without a `data` field."""
    values = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
    return b"\n".join(values) if values else None


def frame(payload: bytes) -> bytes:
    """`payload` as an event. It has no CR in it: neither has one that a parser gave, nor JSON on one line."""
    return b"data: " + payload.replace(b"\n", b"\ndata: ") + b"\n\n"
