"""Going on with a streamed answer that broke, at another candidate, within the same stream. Pure.

What the client has is decoded only then (`said`). A candidate that continues an assistant's turn is asked to continue
it (`prefilled`); any other begins anew, and is spliced in where its answer begins with exactly what the client has.
Either way the client sees one answer: one id, one role, no text twice.

What cannot be continued so that nobody could tell: several choices, calls of tools that were half sent, refusals,
speech, images. Reasoning is not continued: a client has what there was of it before the break.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from common.model.errors import UpstreamBroken, UpstreamError
from common.providers.codec import AnswerStream
from common.wire.sse import DONE, SseParser, frame

MAX_SENT_BYTES: Final = 2**20  # of a stream that can still be continued
_SAME: Final = ("id", "created", "system_fingerprint")  # of all events of one answer
_REASONING: Final = frozenset({"reasoning", "reasoning_content", "reasoning_details"})
_TOKENS: Final = ("content", *_REASONING)
_JSON: Final = (",", ":")


@dataclass(frozen=True, slots=True)
class Said:
    """What the client has of an answer."""

    text: str
    identity: Mapping[str, Any]  # the members that all its events share
    tokens: int  # that it has at least: one in each event that says something, or thinks


class Sent:
    """What has gone to the client, as bytes: it is looked at only where an answer breaks."""

    __slots__ = ("_events", "_size")

    def __init__(self) -> None:
        self._events: list[bytes] = []
        self._size = 0

    def keep(self, events: bytes) -> None:
        """Whole events went out. Of more than `MAX_SENT_BYTES` nothing is kept."""
        self._size += len(events)
        if self._size <= MAX_SENT_BYTES:
            self._events.append(events)
        else:
            self._events.clear()

    def said(self) -> Said | None:
        """What it says; None where nothing can go on behind it."""
        return said(self._events) if self._size <= MAX_SENT_BYTES else None


def said(sent: Iterable[bytes]) -> Said | None:
    """What whole events that were sent say together; None where nothing can go on behind them."""
    pieces: list[str] = []
    identity: dict[str, Any] = {}
    tokens = 0
    for event in _events(b"".join(sent)):
        if not identity:
            identity = {name: event[name] for name in _SAME if name in event}
        choices = event.get("choices")
        if not isinstance(choices, list):
            return None
        for choice in choices:
            piece = _piece(choice)
            if piece is None:
                return None
            pieces.append(piece)
            tokens += any(choice["delta"].get(name) for name in _TOKENS) if choice.get("delta") else 0
    return Said("".join(pieces), identity, tokens)


def _events(data: bytes) -> list[dict[str, Any]]:
    """What stood in our own events: JSON objects, as nothing else was sent on."""
    events = []
    for payload in SseParser(len(data)).feed(data):
        if payload == DONE:
            continue
        try:
            events.append(json.loads(payload))
        except (ValueError, RecursionError):
            events.append({})
    return events


def _piece(choice: Any) -> str | None:
    """The text in a piece of the one choice; None where there is something in it that cannot be continued."""
    if not isinstance(choice, dict) or choice.get("index", 0) != 0 or choice.get("finish_reason"):
        return None
    delta = choice.get("delta") or {}
    if not isinstance(delta, dict):
        return None
    text = delta.get("content")
    others = [name for name, value in delta.items() if value and name not in _REASONING and name != "role"]
    if others not in ([], ["content"]) or not isinstance(text, str | None):
        return None
    return text or ""


def prefilled(messages: Sequence[Any], text: str) -> list[Any]:
    """The conversation with the assistant's turn begun. Space at its end is left to the model: some refuse it."""
    begun = text.rstrip()
    *before, last = messages
    if last.get("role") == "assistant" and isinstance(last.get("content"), str):
        return [*before, {**last, "content": last["content"] + begun}]
    return [*messages, {"role": "assistant", "content": begun}]


class ResumedStream:
    """A stream that goes on behind what was said. It stands in for the stream that it reads from."""

    __slots__ = ("_diverged", "_expected", "_identity", "_space", "_stream")

    def __init__(self, stream: AnswerStream, said: Said, *, continued: bool) -> None:
        """`continued`: the provider was given what was said, and goes on from there; else it begins anew."""
        self._stream = stream
        self._identity = said.identity
        self._expected = "" if continued else said.text  # what is still to be repeated, and not sent again
        self._space = said.text[len(said.text.rstrip()) :] if continued else ""  # may come once more
        self._diverged: UpstreamError | None = None

    @property
    def done(self) -> bool:
        """See `AnswerStream.done`."""
        return self._stream.done and self._diverged is None

    @property
    def failure(self) -> UpstreamError | None:
        """See `AnswerStream.failure`. An answer that takes another way is one."""
        return self._diverged or self._stream.failure

    @property
    def usage(self) -> Any:
        """See `AnswerStream.usage`."""
        return self._stream.usage

    @property
    def id(self) -> str | None:
        """See `AnswerStream.id`: this provider's own, for the record."""
        return self._stream.id

    @property
    def content_bytes(self) -> int:
        """See `AnswerStream.content_bytes`."""
        return self._stream.content_bytes

    @property
    def events(self) -> int:
        """See `AnswerStream.events`."""
        return self._stream.events

    def exceeds(self, tokens: int) -> bool:
        """See `AnswerStream.exceeds`."""
        return self._stream.exceeds(tokens)

    def feed(self, data: bytes) -> bytes:
        """See `AnswerStream.feed`."""
        return b"" if self._diverged else self._rewritten(self._stream.feed(data))

    def cut(self) -> bytes:
        """See `AnswerStream.cut`."""
        return self._rewritten(self._stream.cut())

    def close(self) -> bytes:
        """See `AnswerStream.close`."""
        if self._diverged is not None:
            raise self._diverged
        return self._stream.close()

    def _rewritten(self, events: bytes) -> bytes:
        pieces: list[bytes] = []
        for payload in SseParser(max(len(events), 1)).feed(events):
            kept = payload if payload == DONE else self._kept(payload)
            if self._diverged is not None:
                break
            if kept is not None:
                pieces.append(frame(kept))
        return b"".join(pieces)

    def _kept(self, payload: bytes) -> bytes | None:
        """The event as the client gets it; None where it has nothing new."""
        try:
            event: dict[str, Any] = json.loads(payload)
        except (ValueError, RecursionError):
            return None
        choices = event.get("choices")
        news = bool(event.get("usage"))
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                news = self._has_news(choice) or news
        if not news:
            return None
        return json.dumps({**event, **self._identity}, separators=_JSON).encode()

    def _has_news(self, choice: dict[str, Any]) -> bool:
        """Take from a piece of the choice what the client has; whether something is left."""
        given = choice.get("delta")
        members = given.items() if isinstance(given, dict) else ()
        delta = {name: value for name, value in members if name not in _REASONING and name != "role"}
        if isinstance(delta.get("content"), str):
            delta["content"] = self._new(delta["content"])
        choice["delta"] = {name: value for name, value in delta.items() if value}
        ends = bool(choice.get("finish_reason"))
        if self._expected and (ends or choice["delta"]):
            self._diverge()
        return ends or bool(choice["delta"])

    def _new(self, text: str) -> str:
        """What of a text is behind what was said."""
        if self._space and text:
            text, self._space = _without(text, self._space), ""
        if not self._expected:
            return text
        known = min(len(text), len(self._expected))
        if text[:known] != self._expected[:known]:
            self._diverge()
        self._expected = self._expected[known:]
        return text[known:]

    def _diverge(self) -> None:
        self._diverged = UpstreamBroken("The answer broke off, and no other goes on from there.")


def _without(text: str, space: str) -> str:
    """`text` without the start that it shares with `space`, if that is all of either."""
    known = min(len(text), len(space))
    return text[known:] if text[:known] == space[:known] else text
