"""Anthropic's messages as chat completions: whole answers, and what streams share with them. Pure.

Its `input_tokens` leave out those that a cache has read or written, OpenAI's `prompt_tokens` have them all. What the
model thought goes on as OpenRouter spells it: `reasoning` to be read, `reasoning_details` to be sent back.
Sources: https://platform.claude.com/docs/en/api/messages (2026-10),
https://openrouter.ai/docs/use-cases/reasoning-tokens (2026-08-22).
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from common.model.errors import UpstreamBroken
from common.providers.anthropic_errors import stated_error
from common.providers.anthropic_messages import REASONING_FORMAT
from common.providers.codec import Answer
from common.providers.openai import provider_request_id
from common.providers.openai_usage import content_bytes

_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_COUNTS: Final = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def read_answer(body: bytes, created_s: int = 0) -> Answer:
    """See `ReadAnswer`."""
    try:
        answer = json.loads(body.decode())  # by itself, it would take other encodings too
    except (ValueError, RecursionError):
        raise UpstreamBroken("The provider's answer is not JSON.") from None
    if not isinstance(answer, dict):
        raise UpstreamBroken("The provider's answer is not a message.")
    if answer.get("error"):
        raise stated_error(answer["error"])
    if not isinstance(answer.get("content"), list) or not isinstance(answer.get("stop_reason"), str):
        raise UpstreamBroken("The provider's answer is not a message.")
    usage = usage_of(answer.get("usage"))
    message = _message(answer)
    size = content_bytes([{"message": message}])
    if (refusal := refusal_of(answer)) is not None:
        message["refusal"] = refusal  # not the model's words
    completion = {
        "id": answer.get("id"),
        "object": "chat.completion",
        "created": created_s,
        "model": answer.get("model"),
        "choices": [{"index": 0, "message": message, "logprobs": None, **ended(answer)}],
    }
    if usage is not None and usage["total_tokens"] is not None:
        completion["usage"] = usage
    return Answer(
        id=provider_request_id(answer.get("id")),
        usage=usage,
        content_bytes=size,
        body=json.dumps(completion, separators=(",", ":")).encode(),
    )


def ended(message: Mapping[str, Any]) -> dict[str, object]:
    """The members that tell why a choice ended. A reason that is not known is an end like any other."""
    reason = message.get("stop_reason")
    return {"finish_reason": _FINISH.get(str(reason), "stop"), "native_finish_reason": reason}


def refusal_of(message: Mapping[str, Any]) -> str | None:
    """Why it was refused, in the provider's words; None where it was not, or nothing is said."""
    details = message.get("stop_details")
    said = details.get("explanation") if isinstance(details, dict) else None
    return said if isinstance(said, str) and message.get("stop_reason") == "refusal" else None


def usage_of(usage: Any) -> dict[str, Any] | None:
    """In OpenAI's form; None where there is none. With a count that is none nothing is known of the others."""
    if not isinstance(usage, dict):
        return None
    counts: list[Any] = [usage.get(name) for name in _COUNTS]
    new, out, read, written = counts
    details = usage.get("output_tokens_details")
    hidden = details.get("thinking_tokens") if isinstance(details, dict) else None
    read, written, hidden = [0 if count is None else count for count in (read, written, hidden)]
    if not all(type(count) is int for count in (new, out, read, written, hidden)):
        return {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    prompt = new + read + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": out,
        "total_tokens": prompt + out,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": hidden},
    }


def thought(text: str | None, signature: str | None, index: int) -> dict[str, object]:
    """What the model thought, or a part of it, for `reasoning_details`."""
    detail: dict[str, object] = {"type": "reasoning.text", "format": REASONING_FORMAT, "index": index}
    if text is not None:
        detail["text"] = text
    if signature is not None:
        detail["signature"] = signature
    return detail


def hidden_thought(data: object, index: int) -> dict[str, object]:
    """The same, of what only the provider can read."""
    return {"type": "reasoning.encrypted", "format": REASONING_FORMAT, "index": index, "data": data}


def _message(answer: Mapping[str, Any]) -> dict[str, object]:
    texts: list[str] = []
    thoughts: list[str] = []
    details: list[dict[str, object]] = []
    calls: list[dict[str, object]] = []
    for index, block in enumerate(answer["content"]):
        match block:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "thinking", "thinking": str(text)}:
                thoughts.append(text)
                details.append(thought(text, block.get("signature"), index))
            case {"type": "redacted_thinking", "data": data}:
                details.append(hidden_thought(data, index))
            case {"type": "tool_use", "id": id_, "name": name, "input": given}:
                arguments = json.dumps(given, separators=(",", ":"))
                calls.append(
                    {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
                )
            case _:
                pass  # of tools that were not asked for
    message: dict[str, object] = {
        "role": "assistant",
        "content": "".join(texts) if texts or not calls else None,
        "refusal": None,
    }
    if thoughts:
        message["reasoning"] = "".join(thoughts)
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    return message
