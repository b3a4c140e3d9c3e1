"""Whole streams as providers send them, and what becomes of each, however it is cut.

`streams/*.sse` follow what is documented: OpenAI's API reference (2026-08-21), OpenRouter's streaming and errors pages
(2026-08-22), DeepSeek's reasoning model, the servers of llama.cpp and vLLM (2026). `streams/hidden/*.sse` is what a
client gets that did not ask for usage; one that did gets all events but the provider's error, without comments.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from common.model.errors import UpstreamBroken, UpstreamFailed, UpstreamRateLimited
from common.model.usage import Tokens
from common.providers.openai_stream import ChatStream
from common.providers.openai_usage import reported_usage
from tests.unit.providers.streamed import Outcome, Told, pieces, run, single_bytes

FOLDER: Final = Path(__file__).parent / "streams"


@dataclass(frozen=True)
class Golden:
    """What is to come of a stream, besides the bytes."""

    tokens: Tokens | None
    choices: int = 1
    failure: Told | None = None


STREAMS = {
    "openai": Golden(Tokens(input=93, cache_read=1024, output=46)),
    "openrouter": Golden(Tokens(input=94, cache_write=100, output=2)),
    "llama_cpp": Golden(Tokens(input=31, output=2)),
    "tool_calls": Golden(Tokens(input=80, output=40)),
    "two_choices": Golden(None, choices=2),
    "parallel_tool_calls": Golden(Tokens(input=78, output=44)),
    "logprobs": Golden(Tokens(input=14, output=2)),
    "refusal": Golden(Tokens(input=84, output=9)),
    "audio": Golden(Tokens(input=18, output=10, audio=37)),
    "reasoning_content": Golden(Tokens(input=10, output=5, reasoning=20)),
    "image": Golden(Tokens(input=8, output=1295)),
    "usage_everywhere": Golden(Tokens(input=12, output=3)),
    "openai_error": Golden(
        None,
        failure=(
            UpstreamFailed,
            "The provider failed: The server had an error while processing your request. Sorry about that!",
            None,
        ),
    ),
    "openrouter_error": Golden(
        None,
        failure=(
            UpstreamRateLimited,
            "The provider asks for patience: Rate limit exceeded: [hidden] at [hidden]",
            "rate_limit_exceeded",
        ),
    ),
}


def read(name: str) -> bytes:
    """A stream; an editor may have taken the empty line at its end."""
    return (FOLDER / f"{name}.sse").read_bytes().rstrip(b"\n") + b"\n\n"


def shown(stream: bytes) -> bytes:
    """The same without comments, and without an error."""
    blocks = stream.split(b"\n\n")
    return b"\n\n".join(block for block in blocks if not block.startswith(b":") and b'"error":{' not in block)


def said(payload: bytes) -> int:
    """Bytes of what a model says in one event, as spelled there: no images, no voice, no probabilities."""
    total = 0
    for delta in [choice["delta"] for choice in json.loads(payload)["choices"]]:
        texts = [delta.get(name) or "" for name in ("content", "reasoning", "reasoning_content", "refusal")]
        for text in [*texts, *(call["function"]["arguments"] for call in delta.get("tool_calls", ()))]:
            spellings = [json.dumps(text, ensure_ascii=escaped).encode() for escaped in (True, False)]
            total += next(len(each) - 2 for each in spellings if not text or each in payload)
    return total


def outcome(name: str, *, show_usage: bool) -> Outcome:
    """What is expected of a stream."""
    golden = STREAMS[name]
    sent = shown(read(name)) if show_usage else read(f"hidden/{name}")
    payloads = [
        event[len(b"data: ") :] for event in sent.split(b"\n\n") if event and b"[DONE]" not in event[:12]
    ]
    size = sum(map(len, payloads))
    content = max(0, size - len(payloads) * len(payloads[0]))
    if content >= 8 * (len(payloads) - 3):
        content = sum(map(said, payloads))
    return Outcome(sent, golden.tokens, golden.failure, len(payloads), size, content)


def seen(name: str, parts: Iterable[bytes], *, show_usage: bool = False) -> Outcome:
    """What comes of it, its usage counted."""
    found = run(parts, show_usage=show_usage, choices=STREAMS[name].choices)
    counts = reported_usage(found.usage)
    if counts is None:
        return found
    tokens = Tokens(
        **{key: count for key, count in counts.items() if key != "total" and isinstance(count, int)}
    )
    return replace(found, usage=tokens)


def test_all_have_expectations() -> None:
    """Each file is one of the table's, and has its twin without usage."""
    for folder in (FOLDER, FOLDER / "hidden"):
        assert {path.stem for path in folder.glob("*.sse")} == STREAMS.keys()


@pytest.mark.parametrize("show_usage", [True, False], ids=["usage shown", "usage hidden"])
@pytest.mark.parametrize("name", STREAMS)
def test_every_cut(name: str, show_usage: bool) -> None:  # noqa: FBT001
    """Cut at any place or everywhere, a stream comes to the same."""
    stream = read(name)
    expected = outcome(name, show_usage=show_usage)
    assert seen(name, [stream], show_usage=show_usage) == expected
    assert seen(name, single_bytes(stream), show_usage=show_usage) == expected
    for cut in range(1, len(stream)):
        assert seen(name, pieces(stream, [cut]), show_usage=show_usage) == expected


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
@pytest.mark.parametrize("name", STREAMS)
def test_other_line_ends(name: str, end: bytes) -> None:
    """A stream with other line ends comes to the same, and leaves with LF."""
    stream = read(name).replace(b"\n", end)
    expected = outcome(name, show_usage=False)
    assert seen(name, [stream]) == expected
    assert seen(name, single_bytes(stream)) == expected


@pytest.mark.parametrize("name", [name for name, golden in STREAMS.items() if golden.failure is None])
def test_cut_short(name: str) -> None:
    """Wherever a stream ends too early, it has `[DONE]` only if all choices had told why they ended."""
    stream = read(name)
    told = stream.index(b"\n\n", stream.rindex(b'"finish_reason":"')) + 2
    for end in range(0, len(stream), 7):
        cut = seen(name, [stream[:end]])
        if end < told:
            assert cut.failure == (UpstreamBroken, "The provider's answer broke off.", None)
        else:
            assert cut.failure is None
        assert cut.sent.endswith(b"\n\ndata: [DONE]\n\n") == (end >= told)


@pytest.mark.parametrize("name", STREAMS)
def test_events_go_on_as_they_came(name: str) -> None:
    """With usage asked for and no comments, the bytes of a stream pass untouched."""
    stream = shown(read(name))
    answer = ChatStream(show_usage=True, choices=STREAMS[name].choices)
    assert answer.feed(stream) == stream
