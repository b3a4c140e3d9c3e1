"""What the mock upstream answers, byte for byte; the client knows from here what a complete answer is."""

import json
from functools import lru_cache
from typing import Any, Final

EVENTS: Final = 50  # of one stream: the role, the words, the end; a usage chunk and [DONE] follow
MODEL: Final = "bench"
STAMP: Final = b"@%d@"  # in a word of a stream with pauses: when it was sent, by `time.perf_counter_ns`

_TEXT: Final = "The quick brown fox jumps over the lazy dog. " * 16


def _response(status: str, media_type: str, length: str) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\n{length}\r\n\r\n".encode()


def _whole(status: str, document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    return _response(status, "application/json", f"content-length: {len(body)}") + body


def _usage(output: int) -> dict[str, int]:
    return {"prompt_tokens": 24, "completion_tokens": output, "total_tokens": 24 + output}


def _completion() -> dict[str, Any]:
    message = {"role": "assistant", "content": _TEXT}
    return {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(EVENTS),
        "system_fingerprint": "fp_bench",
    }


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": choices,
    }
    return b"data: " + json.dumps(chunk | more).encode() + b"\n\n"


def _delta(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    return _event([{"index": 0, "delta": delta, "finish_reason": finish_reason}])


def _chunk(frame: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(frame), frame)


def _end(events: int) -> bytes:
    frames = [_delta({}, "stop"), _event([], usage=_usage(events)), b"data: [DONE]\n\n", b""]
    return b"".join(map(_chunk, frames))


@lru_cache
def stream(events: int) -> bytes:
    """A whole stream of so many events, the usage chunk not among them."""
    words = [_delta({"content": f"word{number} "}) for number in range(events - 2)]
    begin = b"".join(map(_chunk, [_delta({"role": "assistant", "content": ""}), *words]))
    return STREAM_HEAD + begin + _end(events)


@lru_cache
def stream_end(events: int) -> bytes:
    """The end of a stream of so many events."""
    return _end(events)


def stamped(now_ns: int) -> bytes:
    """An event whose word says when it was sent."""
    return _chunk(_STAMPED.replace(b"@", STAMP % now_ns))


STREAM_HEAD: Final = _response("200 OK", "text/event-stream", "transfer-encoding: chunked")
COMPLETION: Final = _whole("200 OK", _completion())
NOT_FOUND: Final = _whole("404 Not Found", {"error": {"message": "The mock knows chat completions only."}})
_STAMPED: Final = _delta({"content": "@ "})


def is_completion(body: bytes) -> bool:
    """Whether a client received the whole answer to a plain request."""
    return b'"choices"' in body and body.rstrip().endswith(b"}")


def is_stream(body: bytes, events: int) -> bool:
    """Whether a client received every event up to the end; the usage chunk may be kept from it."""
    return body.count(b"data: ") > events and body.rstrip().endswith(b"data: [DONE]")
