"""A streamed answer of OpenAI's protocol: what becomes of it for the client. Pure.

Events go on as they came; what the gateway needs is seen by cheap looks at their bytes, which cannot be deceived by
what a model writes: quotes inside a JSON string are escaped, so `"usage"` never stands there as such. Only an event
that may hold usage, an error or the reason of an end is parsed. Events that need no change at all are looked at
together, as many as have come: 50 of them cost about as much as two that are taken apart. However the bytes are cut,
the outcome is the same.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from common.model.errors import UpstreamBroken, UpstreamError
from common.providers.openai import choice_error, provider_request_id
from common.providers.openai_errors import stated_error
from common.providers.openai_usage import content_bytes
from common.wire.sse import DONE, EventTooLong, SseParser, frame

MAX_EVENT_BYTES: Final = 4 * 2**20  # a generated image comes as one event
_FRAME_BYTES: Final = len(frame(b""))
_DATA_BYTES: Final = len(b"data: ")
_SAME: Final = ("id", "object", "created", "model", "system_fingerprint")  # in all events of a stream
_TAIL_BYTES: Final = 64  # where the protocol's end stands; an end that comes before is no plain event either
_BYTES_PER_TOKEN: Final = 16  # of content, at most: so many bytes are at least one token
_PLAIN_CONTENT: Final = 8  # bytes to an event, at most: so short that it matters nowhere what else is in them
_KEPT_BYTES: Final = 256 * 1024  # of events whose content is still to be counted
_FAILED: Final = "error"  # OpenRouter's reason of an end that is none
# OpenAI's chunks have a null for usage until the last, and some providers write "" for a reason that is still to come
_TELLING: Final = re.compile(rb'"(?:usage"\s*:\s*[^n\s]|error"\s*:\s*[^n\s]|finish_reason"\s*:\s*"[^"])')
_SAID: Final = re.compile(
    rb'"(?:content|reasoning|reasoning_content|refusal|arguments)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"'
)
_OPEN: Final = b"data: {"
_CLOSE: Final = b"}\n\n"
_BETWEEN: Final = _CLOSE + _OPEN
_loads: Final = json.JSONDecoder().decode
_dumps: Final = json.JSONEncoder(separators=(",", ":")).encode  # made once: that takes as long as to encode
# where most providers put it: at the front, without escapes
_ID: Final = re.compile(rb'\{\s*"id"\s*:\s*"([^"\\]*)"')


class ChatStream:
    """One streamed answer. Feed it what comes, send on what it returns, look at `failure`, close it at the end."""

    __slots__ = (
        "_choices",
        "_content_bytes",
        "_counted_bytes",
        "_counted_events",
        "_ended",
        "_envelope_bytes",
        "_first",
        "_latest",
        "_parser",
        "_show_usage",
        "_uncounted",
        "done",
        "events",
        "failure",
        "output_bytes",
        "usage",
    )

    def __init__(self, *, show_usage: bool, choices: int = 1) -> None:
        """`choices`: how many were asked for (`n`)."""
        self._parser = SseParser(MAX_EVENT_BYTES)
        self._show_usage = show_usage
        self._choices = choices
        self.usage: Any = None  # as the provider said it
        self.events = 0  # sent on
        self.output_bytes = 0  # of their payloads
        self._envelope_bytes = 0  # of a payload, around its content: as long as the first, which has none yet
        self._first = b""  # the first payload
        self._latest = b""  # what went on last: one payload, or whole events of one line each
        self._uncounted: list[bytes] = []  # the same, of all whose content is not counted
        self._content_bytes = self._counted_bytes = self._counted_events = 0
        self._ended: set[int] = set()  # choices that have told why
        self.done = False  # the protocol's own end has come; what follows it is ignored
        # what the provider told instead of an end; what came before it is sound, what follows it is ignored
        self.failure: UpstreamError | None = None

    @property
    def id(self) -> str | None:
        """The provider's own id of the answer, which is in all its events; looked up when asked for."""
        if found := _ID.match(self._first):
            return provider_request_id(found[1].decode())
        try:
            event = json.loads(self._first) if self._first else None
        except (ValueError, RecursionError):
            return None
        return provider_request_id(event.get("id")) if isinstance(event, dict) else None

    @property
    def content_bytes(self) -> int:
        """How long the content is. Images, audio, log probabilities and what else surrounds it are none of it."""
        self._count()
        return self._content_bytes

    def _count(self) -> None:
        events = self.events - self._counted_events
        roughly = self._roughly(events)
        if roughly >= _PLAIN_CONTENT * (events - 3):  # those of the role, the end and the usage have none
            roughly = sum(_content_bytes(text) for text in self._uncounted)
        self._content_bytes += roughly
        self._counted_bytes, self._counted_events = self.output_bytes, self.events
        self._uncounted.clear()

    def _roughly(self, events: int) -> int:
        """What the last events have more than the first one, which has no content: rather too much than too little."""
        return max(0, self.output_bytes - self._counted_bytes - events * self._envelope_bytes)

    def exceeds(self, tokens: int) -> bool:
        """Whether it has certainly more tokens of output than these: an event has one, and so have 16 bytes."""
        most = self._content_bytes + self._roughly(self.events - self._counted_events)
        return self.events > tokens or (
            most // _BYTES_PER_TOKEN > tokens and self.content_bytes // _BYTES_PER_TOKEN > tokens
        )

    def cut(self) -> bytes:
        """The end of a stream that is not let go on: a last event that says so, as for a length that is reached."""
        self.done = True
        latest = self._latest
        if latest.startswith(b"data: "):
            latest = latest[latest.rfind(b"\n", 0, -2) + 1 + _DATA_BYTES :]
        try:
            event: dict[str, Any] = json.loads(latest)
        except (ValueError, RecursionError):
            event = {}
        choices = [{"index": index, "delta": {}, "finish_reason": "length"} for index in range(self._choices)]
        last = {name: event[name] for name in _SAME if name in event} | {"choices": choices}
        return frame(_dumps(last).encode()) + frame(DONE)

    def feed(self, data: bytes) -> bytes:
        """What goes to the client, whole events."""
        if self.done or self.failure is not None:
            return b""
        plain, events = self._plain_part(data) if self._parser.between_events else (b"", 0)
        if plain:
            self._parser.started = True
            self._note(plain, events, len(plain) - events * _FRAME_BYTES)
            if len(plain) == len(data):
                return plain
            data = data[len(plain) :]
        try:
            return plain + self._pass_on(self._parser.feed(data))
        except EventTooLong as error:
            plain += self._pass_on(error.payloads)
            self._fail(UpstreamBroken("The provider sent an event that is too long."))
            return plain

    def close(self) -> bytes:
        """What goes to the client at the end of the provider's bytes. Raises `failure`, or that they are not all."""
        if self.failure is not None:
            raise self.failure
        if self.done:
            return b""
        if len(self._ended) < self._choices:
            raise UpstreamBroken("The provider's answer broke off.")
        return frame(DONE)

    def _plain_part(self, data: bytes) -> tuple[bytes, int]:
        """The events at the front of `data` that go on as they are, and how many they are."""
        if len(data) > MAX_EVENT_BYTES:
            return b"", 0  # the parser finds out whether an event is
        end = len(data)
        if (telling := _TELLING.search(data)) is not None:
            end = telling.start()
        if (done := data.rfind(DONE, max(0, end - _TAIL_BYTES), end)) >= 0:
            end = done
        plain = data[: data.rfind(b"\n\n", 0, end) + 2]
        events = _plain_events(plain)
        return (plain, events) if events and _is_utf8(plain) else (b"", 0)

    def _note(self, text: bytes, events: int, size: int) -> None:
        """Keep what the gateway needs of events that go on."""
        if not self.events:
            first = text.find(b"\n\n")
            self._envelope_bytes = size if first < 0 else first - _DATA_BYTES
            self._first = self._first or (text if first < 0 else text[_DATA_BYTES:first])
        self.events += events
        self.output_bytes += size
        self._latest = text
        self._uncounted.append(text)
        if self.output_bytes - self._counted_bytes > _KEPT_BYTES:
            self._count()

    def _fail(self, failure: UpstreamError) -> None:
        """That it ends so, unless it has ended before."""
        if not self.done and self.failure is None:
            self.failure = failure

    def _pass_on(self, payloads: list[bytes]) -> bytes:
        pieces: list[bytes] = []
        for payload in payloads:
            kept = self._kept(payload)
            if kept is not None:
                pieces.append(frame(kept))
            if self.done or self.failure is not None:
                break
        return b"".join(pieces)

    def _kept(self, payload: bytes) -> bytes | None:
        """The payload as it goes on; None where it does not, as one that is neither a JSON object nor the end."""
        if payload[:1] != b"{" or payload[-1:] != b"}":
            payload = payload.strip()
            if payload == DONE:
                self.done = bool(self._ended)  # before a finish reason it is not the end of a whole answer
                return DONE if self.done else None
            if payload[:1] != b"{" or payload[-1:] != b"}":
                return None
        if not _is_utf8(payload):
            return None
        if _TELLING.search(payload):
            changed = self._parsed(payload)
            if changed is None:
                return None
            payload = changed
        self._note(payload, 1, len(payload))
        return payload

    def _parsed(self, payload: bytes) -> bytes | None:
        """The same, of an event that may hold usage, an error or the reason of an end."""
        try:
            event: dict[str, Any] = _loads(payload.decode())
        except (ValueError, RecursionError):
            return None  # malformed: skipped like any other
        self._first = self._first or payload
        usage, choices = event.get("usage"), event.get("choices")
        if usage:
            self.usage = usage
        if error := event.get("error") or choice_error(choices):
            self.failure = stated_error(error)
            return None
        self._ended.update(_ended(choices))
        if self._show_usage or not usage:
            return payload
        del event["usage"]
        return _dumps(event).encode() if choices else None


def _plain_events(text: bytes) -> int:
    """How many events these are, if they are whole ones of one JSON object each, and nothing else; 0: they are not.

    Where one event ends and the next begins there are two line ends; if there are no others, each event is one line.
    Counting takes a third of the time of a pattern.
    """
    if not text.startswith(_OPEN) or not text.endswith(_CLOSE) or b"\r" in text:
        return 0
    events = text.count(_BETWEEN) + 1
    return events if text.count(b"\n") == 2 * events else 0


def _is_utf8(text: bytes) -> bool:
    """Clients decode strictly: one bad byte would cost them all that comes behind it."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _content_bytes(text: bytes) -> int:
    """Of one payload, or of whole events of one line each; in JSON's spelling, where that does for it."""
    if b'"annotations"' not in text:  # they have texts by the same names, of what was found in the web
        return sum(map(len, _SAID.findall(text)))
    payloads = SseParser(len(text)).feed(text) if text.startswith(b"data: ") else [text]
    return sum(map(_payload_content, payloads))


def _payload_content(payload: bytes) -> int:
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        return 0
    return content_bytes(event.get("choices"), "delta")


def _ended(choices: Any) -> Iterator[int]:
    """The choices of an event that tell why they ended."""
    for choice in choices if isinstance(choices, list) else ():
        reason = choice.get("finish_reason") if isinstance(choice, dict) else None
        if reason and reason != _FAILED:
            index = choice.get("index")
            yield index if isinstance(index, int) else 0
