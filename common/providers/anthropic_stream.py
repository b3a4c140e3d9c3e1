"""A streamed message of Anthropic's as a streamed chat completion. Pure.

Each event that holds something for the client becomes one chunk; pings, and blocks of what was not asked for, become
nothing. An event of text, which most are, is rewritten without being parsed. However the bytes are cut, the outcome is
the same. Source: https://platform.claude.com/docs/en/build-with-claude/streaming (2026-10).
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from common.model.errors import UpstreamBroken, UpstreamError
from common.providers.anthropic_answer import ended, hidden_thought, refusal_of, thought, usage_of
from common.providers.anthropic_errors import stated_error
from common.providers.openai import provider_request_id
from common.wire.sse import DONE, EventTooLong, SseParser, frame

MAX_EVENT_BYTES: Final = 4 * 2**20
_BYTES_PER_TOKEN: Final = 16  # of content, at most: so many bytes are at least one token
_MODEL: Final = ("id", "object", "created", "model")
# an event of text without escapes; the API pads its events with spaces
_TEXT: Final = re.compile(
    r'\{"type": ?"content_block_delta", ?"index": ?[0-9]{1,4}, ?'
    r'"delta": ?\{"type": ?"text_delta", ?"text": ?"([^"\\\x00-\x1f]+)" *\} *\}'
)


class MessageStream:
    """See `AnswerStream`. There is one choice: more cannot be asked for."""

    __slots__ = (
        "_calls",
        "_created_s",
        "_ended",
        "_head",
        "_id",
        "_open_call",
        "_parser",
        "_show_usage",
        "_usage",
        "content_bytes",
        "done",
        "events",
        "failure",
        "usage",
    )

    def __init__(self, *, show_usage: bool, choices: int, created_s: int = 0) -> None:  # noqa: ARG002
        """See `OpenStream`."""
        self._parser = SseParser(MAX_EVENT_BYTES)
        self._show_usage = show_usage
        self._created_s = created_s
        self._head = ""  # of every chunk, up to its choices; "" before the message's start
        self._id: str | None = None
        self._calls = 0  # of tools, that have begun
        self._open_call: int | None = None  # the block of one that has no arguments yet
        self._ended = False  # the reason of the end has come
        self._usage: dict[str, Any] = {}  # the provider's own
        self.usage: Any = None  # from the end alone: before it, the output's count tells nothing
        self.events = 0  # of content
        self.content_bytes = 0
        self.done = False
        self.failure: UpstreamError | None = None

    @property
    def id(self) -> str | None:
        """See `AnswerStream.id`."""
        return self._id

    def exceeds(self, tokens: int) -> bool:
        """See `AnswerStream.exceeds`."""
        return self.events > tokens or self.content_bytes // _BYTES_PER_TOKEN > tokens

    def cut(self) -> bytes:
        """See `AnswerStream.cut`."""
        self.done = True
        return self._chunk("{}", '"length"') + frame(DONE)

    def feed(self, data: bytes) -> bytes:
        """See `AnswerStream.feed`."""
        if self.done or self.failure is not None:
            return b""
        try:
            return self._translated(self._parser.feed(data))
        except EventTooLong as error:
            sound = self._translated(error.payloads)
            self._fail(UpstreamBroken("The provider sent an event that is too long."))
            return sound

    def close(self) -> bytes:
        """See `AnswerStream.close`."""
        if self.failure is not None:
            raise self.failure
        if self.done:
            return b""
        if not self._ended:
            raise UpstreamBroken("The provider's answer broke off.")
        return self._end()

    def _fail(self, failure: UpstreamError) -> None:
        """That it ends so, unless it has ended before."""
        if not self.done and self.failure is None:
            self.failure = failure

    def _translated(self, payloads: list[bytes]) -> bytes:
        pieces = []
        for payload in payloads:
            try:
                pieces.append(self._event(payload.decode()))
            except (ValueError, RecursionError):
                continue  # malformed: skipped
            if self.done or self.failure is not None:
                break
        return b"".join(pieces)

    def _event(self, text: str) -> bytes:
        if self._head and (plain := _TEXT.fullmatch(text)) is not None:
            self._note(plain[1])
            return self._chunk(f'{{"content":"{plain[1]}"}}')
        event = json.loads(text)
        kind = event.get("type") if isinstance(event, dict) else None
        if kind == "error":
            self.failure = stated_error(event.get("error"))
        elif kind == "message_start" and not self._head:
            return self._start(event.get("message"))
        elif kind == "message_stop" and self._ended:
            return self._end()
        elif self._head and (translate := _TRANSLATE.get(str(kind))) is not None:
            return translate(self, event)
        return b""

    def _start(self, message: Any) -> bytes:
        if not isinstance(message, dict):
            return b""
        self._id = provider_request_id(message.get("id"))
        values = (message.get("id"), "chat.completion.chunk", self._created_s, message.get("model"))
        self._head = _dumps(dict(zip(_MODEL, values, strict=True)))[:-1] + ","
        self._merge(message.get("usage"))
        return self._chunk('{"role":"assistant","content":""}')

    def _block(self, event: Mapping[str, Any]) -> bytes:
        match event.get("content_block"):
            case {"type": "text", "text": str(text)} if text:
                return self._said({"content": text}, text)
            case {"type": "thinking", "thinking": str(text)} if text:
                return self._thought(text, event)
            case {"type": "redacted_thinking", "data": data}:
                return self._said({"reasoning_details": [hidden_thought(data, _index(event))]}, "")
            case {"type": "tool_use", "id": id_, "name": name, **rest}:
                self._calls += 1
                self._open_call = _index(event)
                given = rest.get("input")
                arguments = _dumps(given) if given else ""
                if arguments:
                    self._open_call = None
                function = {"name": name, "arguments": arguments}
                return self._said(
                    self._call({"id": id_, "type": "function", "function": function}), arguments
                )
            case _:
                return b""

    def _delta(self, event: Mapping[str, Any]) -> bytes:
        match event.get("delta"):
            case {"type": "text_delta", "text": str(text)} if text:
                return self._said({"content": text}, text)
            case {"type": "thinking_delta", "thinking": str(text)} if text:
                return self._thought(text, event)
            case {"type": "signature_delta", "signature": str(signature)}:
                return self._chunk(_dumps({"reasoning_details": [thought(None, signature, _index(event))]}))
            case {"type": "input_json_delta", "partial_json": str(part)} if part and self._calls:
                self._open_call = None
                return self._said(self._call({"function": {"arguments": part}}), part)
            case _:
                return b""

    def _stop(self, event: Mapping[str, Any]) -> bytes:
        """A call without arguments has an empty object of them."""
        if self._open_call is None or self._open_call != _index(event):
            return b""
        self._open_call = None
        return self._said(self._call({"function": {"arguments": "{}"}}), "{}")

    def _message_delta(self, event: Mapping[str, Any]) -> bytes:
        self._merge(event.get("usage"))
        delta = event.get("delta")
        if self._ended or not isinstance(delta, dict) or not delta.get("stop_reason"):
            return b""
        self._ended = True
        self.usage = usage_of(self._usage)
        refusal = refusal_of(delta)
        told = ended(delta)
        last = _dumps({} if refusal is None else {"refusal": refusal})
        reason, native = _dumps(told["finish_reason"]), _dumps(told["native_finish_reason"])
        return self._chunk(last, f'{reason},"native_finish_reason":{native}')

    def _end(self) -> bytes:
        self.done = True
        usage = usage_of(self._usage)
        if not self._show_usage or usage is None or usage["total_tokens"] is None:
            return frame(DONE)
        return frame(f'{self._head}"choices":[],"usage":{_dumps(usage)}}}'.encode()) + frame(DONE)

    def _merge(self, usage: Any) -> None:
        """Counts are of the whole message so far: the latest holds, where there is one."""
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}
            if self._ended:
                self.usage = usage_of(self._usage)

    def _thought(self, text: str, event: Mapping[str, Any]) -> bytes:
        details = [thought(text, None, _index(event))]
        return self._said({"reasoning": text, "reasoning_details": details}, text)

    def _call(self, members: Mapping[str, object]) -> dict[str, object]:
        return {"tool_calls": [{"index": self._calls - 1, **members}]}

    def _said(self, delta: Mapping[str, object], content: str) -> bytes:
        if content:
            self._note(content)
        return self._chunk(_dumps(delta))

    def _note(self, content: str) -> None:
        self.events += 1
        self.content_bytes += len(content if content.isascii() else content.encode("utf-8", "surrogatepass"))

    def _chunk(self, delta: str, reason: str = "null") -> bytes:
        head = self._head or "{"
        return (
            f'data: {head}"choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}}}]}}\n\n'.encode()
        )


_TRANSLATE: Final[Mapping[str, Callable[[MessageStream, Mapping[str, Any]], bytes]]] = {
    "content_block_start": MessageStream._block,  # noqa: SLF001 - a table of its own methods
    "content_block_delta": MessageStream._delta,  # noqa: SLF001
    "content_block_stop": MessageStream._stop,  # noqa: SLF001
    "message_delta": MessageStream._message_delta,  # noqa: SLF001
}


def _index(event: Mapping[str, Any]) -> int:
    """Of a block."""
    index = event.get("index")
    return index if isinstance(index, int) else 0


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
