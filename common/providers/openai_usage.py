"""What an answer of OpenAI's protocol says that it used, in disjoint classes, and how long its content is. Pure.

OpenAI's `prompt_tokens` include those read from a cache and those of audio, its `completion_tokens` those of reasoning
and of audio; here no token is counted twice. Nothing is judged: a count that is none stays what it is, for
`metering/usage_check.py` to refuse. Source: https://platform.openai.com/docs/api-reference/chat/object (2026-08-21),
https://openrouter.ai/docs/use-cases/usage-accounting (2026-08-22; `cost` in USD, `cache_write_tokens`).
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from common.model.limits import MAX_NANOUSD

_NANO: Final = 10**9
_OF_PROMPT: Final = ("cached_tokens", "cache_write_tokens", "audio_tokens")
_OF_COMPLETION: Final = ("reasoning_tokens", "audio_tokens")
_CONTENT: Final = ("content", "reasoning", "reasoning_content", "refusal")


def reported_usage(usage: Any) -> Mapping[str, object] | None:
    """The counts of a `usage` member by the names of `Tokens`, and their `total`; None where there is none."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(prompt) is not int or type(completion) is not int:
        return {"input": prompt, "output": completion}
    of_prompt, of_completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    if not of_prompt and not of_completion:
        return {"input": prompt, "output": completion, "total": prompt + completion}
    read, write, audio_in = _counts(of_prompt, _OF_PROMPT)
    reasoning, audio_out = _counts(of_completion, _OF_COMPLETION)
    if any([type(part) is not int for part in (read, write, audio_in, reasoning, audio_out)]):  # noqa: C419 - faster
        return {"input": None, "output": None}
    return {
        "input": prompt - read - write - audio_in,
        "cache_read": read,
        "cache_write": write,
        "output": completion - reasoning - audio_out,
        "reasoning": reasoning,
        "audio": audio_in + audio_out,
        "total": prompt + completion,
    }


def _counts(details: Any, names: Sequence[str]) -> list[Any]:
    """Those that are missing or null are none."""
    if not isinstance(details, dict):
        return [0] * len(names)
    return [0 if (count := details.get(name)) is None else count for name in names]


def reported_cost(usage: Any) -> int | None:
    """Nano-dollars that the provider says it charges, rounded up; None where it says nothing that can be true."""
    said = usage.get("cost") if isinstance(usage, dict) else None
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said < MAX_NANOUSD / _NANO:
        return None
    nano = Decimal(str(said)) * _NANO
    return int(nano) + (nano != int(nano))


def content_bytes(choices: Any, member: str = "message") -> int:
    """UTF-8 bytes of what the choices of an answer say; `member` is where: `delta`, in an event of a stream."""
    return sum([_bytes(text) for text in _texts(choices, member)])


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _texts(choices: Any, member: str) -> Iterator[str]:
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get(member) if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            continue
        for name in _CONTENT:
            if isinstance(text := message.get(name), str):
                yield text
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            arguments = function.get("arguments") if isinstance(function, dict) else None
            if isinstance(arguments, str):
                yield arguments
