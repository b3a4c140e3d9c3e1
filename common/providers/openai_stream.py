"""A streamed answer of OpenAI's protocol: what becomes of it for the client. Pure.

Events go on as they came; what the gateway needs is seen by cheap looks at their bytes, which cannot be deceived by
what a model writes: quotes inside a JSON string are escaped, so `"usage"` never stands there as such. Only an event
that may hold usage or an error is parsed. Events that need no change at all are looked at together, as many as have
come: 50 of them cost about as much as two that are taken apart.
"""

import json
import re
from typing import Any, Final

from common.model.errors import UpstreamBroken, UpstreamError
from common.model.usage import Usage
from common.providers.openai import stated_error, usage_of
from common.wire.sse import DONE, EventTooLong, SseParser, frame

MAX_EVENT_BYTES: Final = 4 * 2**20  # a generated image comes as one event
_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"')
_USAGE: Final = re.compile(rb'"usage"\s*:\s*[^n\s]')  # OpenAI's chunks have a null until the last
_ERROR: Final = re.compile(rb'"error"\s*:\s*[^n\s]')
_PLAIN: Final = re.compile(
    rb"(?:data: \{[^\r\n]*\}\n\n)+"
)  # whole events of one JSON object each, and nothing else


class ChatStream:
    """One streamed answer. Feed it what comes, send on what it returns, look at `failure`, close it at the end."""

    __slots__ = ("_parser", "_show_usage", "done", "events", "failure", "finished", "output_bytes", "usage")

    def __init__(self, *, show_usage: bool) -> None:
        self._parser = SseParser(MAX_EVENT_BYTES)
        self._show_usage = show_usage
        self.usage: Usage | None = None  # as the provider said it
        self.events = 0  # sent on
        self.output_bytes = 0  # of their payloads
        self.finished = False  # a choice has told why it ended
        self.done = False  # the protocol's own end has come; what follows it is ignored
        self.failure: UpstreamError | None = (
            None  # what the provider told instead; what came before it is sound
        )

    def feed(self, data: bytes) -> bytes:
        """What goes to the client, whole events."""
        plain = self._plain_part(data) if self._parser.between_events and not self.done else b""
        if plain:
            self._note(plain, plain.count(b"\n") // 2)
            if len(plain) == len(data):
                return plain
            data = data[len(plain) :]
        try:
            payloads = self._parser.feed(data)
        except EventTooLong:
            self.failure = UpstreamBroken("The provider sent an event that is too long.")
            return plain
        return plain + self._pass_on(payloads)

    def close(self) -> bytes:
        """What goes to the client at the end of the provider's bytes. `UpstreamBroken` where they are not all."""
        last = self._pass_on(self._parser.close())
        if not self.finished:
            raise UpstreamBroken("The provider's answer broke off.")
        return last if self.done else last + frame(DONE)

    def _plain_part(self, data: bytes) -> bytes:
        """The events at the front of `data` that go on as they are."""
        end = len(data)
        for special in (_USAGE.search(data), _ERROR.search(data)):
            if special is not None:
                end = min(end, special.start())
        if (done := data.find(DONE)) >= 0:
            end = min(end, done)
        plain = data[: data.rfind(b"\n\n", 0, end) + 2]
        return plain if _PLAIN.fullmatch(plain) else b""

    def _note(self, events: bytes, count: int) -> None:
        """Keep what the gateway needs of events that go on."""
        if not self.finished and _FINISHED.search(events):
            self.finished = True
        self.events += count
        self.output_bytes += len(events)

    def _pass_on(self, payloads: list[bytes]) -> bytes:
        pieces: list[bytes] = []
        for payload in payloads:
            if self.done or self.failure is not None:
                break
            if payload[:1] == b"{" and payload[-1:] == b"}":
                kept = self._look(payload)
            elif payload.strip() == DONE:
                self.done = self.finished  # before a finish reason it is not the end of a whole answer
                kept = DONE if self.done else None
            else:
                kept = self._malformed(payload)
            if kept is not None:
                pieces += (
                    b"data: ",
                    kept if b"\n" not in kept else kept.replace(b"\n", b"\ndata: "),
                    b"\n\n",
                )
        return b"".join(pieces)

    def _look(self, payload: bytes) -> bytes | None:
        """The event as it goes on; None where it does not."""
        if _USAGE.search(payload) or _ERROR.search(payload):
            kept = self._parsed(payload)
            if kept is None:
                return None
            payload = kept
        self._note(payload, 1)
        return payload

    def _parsed(self, payload: bytes) -> bytes | None:
        try:
            event: dict[str, Any] = json.loads(payload)
        except (ValueError, RecursionError):
            return None  # malformed: skipped like any other
        if event.get("error"):
            self.failure = stated_error(event["error"])
            return None
        if not event.get("usage"):
            return payload
        self.usage = usage_of(event["usage"]) or self.usage
        if self._show_usage:
            return payload
        del event["usage"]
        return json.dumps(event, separators=(",", ":")).encode() if event.get("choices") else None

    def _malformed(self, payload: bytes) -> bytes | None:
        """An event that is no JSON object is skipped, unless only spaces around it made it look so."""
        stripped = payload.strip()
        if stripped != payload and stripped[:1] == b"{" and stripped[-1:] == b"}":
            return self._look(stripped)
        return None
