"""Answers of OpenAI's protocol, for scripted providers to give."""

import json
from typing import Any

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def completion(text: str = "Hello.", **more: Any) -> bytes:
    """A whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
    }
    return json.dumps(answer | {"usage": USAGE} | more).encode()


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    event = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
    }
    return b"data: " + json.dumps(event | more).encode() + b"\n\n"


def stream(*words: str) -> list[bytes]:
    """The events of a whole stream: the words, the end, the usage, `[DONE]`."""
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": word}) for word in words),
        chunk({}, "stop"),
        chunk({}, None, choices=[], usage=USAGE),
        b"data: [DONE]\n\n",
    ]
