"""Anthropic's streams as those of chat completions: `streams/` as it documents them, `translated/` ours."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from common.model.errors import UpstreamBroken, UpstreamError, UpstreamFailed
from common.providers import anthropic_stream
from common.providers.anthropic_stream import MAX_EVENT_BYTES, MessageStream
from common.providers.openai_usage import reported_usage
from tests.unit.providers.streamed import pieces, single_bytes

FOLDER: Final = Path(__file__).parent
CREATED: Final = 1_787_270_400
NAMES: Final = sorted(path.stem for path in (FOLDER / "streams").glob("*.sse"))
WHOLE: Final = [name for name in NAMES if name != "overloaded"]
CUTS: Final = st.lists(st.integers(0, 2_000), max_size=8)
Outcome = tuple[bytes, Any, object, str | None, int, int, bool]


def read(folder: str, name: str) -> bytes:
    """A stream; an editor may have taken the empty line at its end."""
    return (FOLDER / folder / f"{name}.sse").read_bytes().rstrip(b"\n") + b"\n\n"


def run(parts: list[bytes], *, show_usage: bool = True) -> Outcome:
    """All that comes of a stream: fed as a relay does, and closed."""
    stream = MessageStream(show_usage=show_usage, choices=1, created_s=CREATED)
    sent = b"".join(map(stream.feed, parts))
    failure = None
    try:
        sent += stream.close()
    except UpstreamError as error:
        failure = (type(error), error.message)
    return sent, stream.usage, failure, stream.id, stream.events, stream.content_bytes, stream.done


def event(kind: str, **members: Any) -> bytes:
    """One event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | members)}\n\n".encode()


def start(**usage: Any) -> bytes:
    """The first event."""
    return event("message_start", message={"id": "msg_1", "model": "claude", "usage": usage})


def text(said: str) -> bytes:
    """An event of content."""
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": said})


def end(reason: str | None = "end_turn", **usage: Any) -> bytes:
    """That it ends, and why."""
    return event("message_delta", delta={"stop_reason": reason}, usage=usage)


STOP: Final = event("message_stop")


def chunks(sent: bytes) -> list[ChatCompletionChunk]:
    """What the official client makes of it."""
    payloads = [each.removeprefix(b"data: ") for each in sent.split(b"\n\n") if each]
    assert payloads[-1] == b"[DONE]"
    return [ChatCompletionChunk.model_validate_json(payload, strict=True) for payload in payloads[:-1]]


@pytest.mark.parametrize("name", NAMES)
def test_every_cut(name: str) -> None:
    """Cut at any place or everywhere, a stream comes to the same, which is written down."""
    came = read("streams", name)
    expected = run([came])
    assert expected[0] == read("translated", name)
    assert run(single_bytes(came)) == expected
    for cut in range(1, len(came)):
        assert run(pieces(came, [cut])) == expected


def test_there_are_streams() -> None:
    """None is left without its twin."""
    assert len(NAMES) >= 8
    assert {path.stem for path in (FOLDER / "translated").glob("*.sse")} == set(NAMES)


@pytest.mark.parametrize("name", WHOLE)
def test_official_client_reads_it(name: str) -> None:
    """Each event is a chunk, all of them of one completion, with one reason of its end."""
    read_back = chunks(read("translated", name))
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in read_back}) == 1
    reasons = [choice.finish_reason for chunk in read_back for choice in chunk.choices]
    assert [reason for reason in reasons if reason] == reasons[-1:]
    assert read_back[-1].usage is not None


@pytest.mark.parametrize("name", WHOLE)
def test_usage_is_hidden_unless_asked_for(name: str) -> None:
    """Whoever did not ask for usage gets everything else."""
    came = read("streams", name)
    shown, hidden = run([came]), run([came], show_usage=False)
    events = [each for each in shown[0].split(b"\n\n") if b'"usage":' not in each]
    assert hidden == (b"\n\n".join(events), *shown[1:])


@pytest.mark.parametrize("name", WHOLE)
def test_cut_short(name: str) -> None:
    """A stream that ends before it has told why is broken; one that lacks only its last event is whole."""
    came = read("streams", name)
    told = came.index(b"\n\n", came.rindex(b'"stop_reason":"')) + 2
    for size in range(0, len(came), 5):
        sent, usage, failure, *_ = run([came[:size]])
        if size < told:
            assert failure == (UpstreamBroken, "The provider's answer broke off.")
            assert b"[DONE]" not in sent
            assert usage is None
        else:
            assert failure is None
            assert sent == read("translated", name)


def test_failure_in_the_middle() -> None:
    """What came before it is sound, what follows is ignored; the client sees no part of it."""
    came = read("streams", "overloaded")
    sent, usage, failure, *_ = run([came + text("more") + end(output_tokens=1) + STOP])
    assert (failure, usage) == ((UpstreamFailed, "The provider failed: Overloaded"), None)
    assert sent == read("translated", "overloaded")
    stream = MessageStream(show_usage=True, choices=1)
    stream.feed(came)
    assert stream.feed(text("more")) == b""


def test_usage_is_of_the_latest_event() -> None:
    """Counts are of the whole message so far; those of the first event hold where a later one does not say."""
    came = start(input_tokens=5, cache_read_input_tokens=7, output_tokens=1) + text("Hi")
    stream = MessageStream(show_usage=False, choices=1)
    stream.feed(came)
    assert stream.usage is None
    stream.feed(end(output_tokens=20, input_tokens=None) + end(None, output_tokens=23) + STOP)
    reported = reported_usage(stream.usage)
    assert reported is not None
    assert (reported["input"], reported["cache_read"], reported["output"]) == (5, 7, 23)


def test_too_long() -> None:
    """An event beyond the bound is a failure, not memory."""
    stream = MessageStream(show_usage=False, choices=1)
    sent = stream.feed(start() + text("Hi") + b"data: " + b"x" * (MAX_EVENT_BYTES + 1))
    assert b'"content":"Hi"' in sent
    assert isinstance(stream.failure, UpstreamBroken)


@pytest.mark.parametrize(
    "odd",
    [
        b"data: {\n\n",
        b"data: 5\n\n",
        b'data: "x"\n\n',
        b"data: [DONE]\n\n",
        b"data: \xff\n\n",
        b'data: {"type":["ping"]}\n\n',
        b": comment\n\n",
        event("ping"),
        event("new_event", index=1),
        event("content_block_start", index=0),
        event("content_block_delta", index=0, delta={"type": "new_delta", "x": 1}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": 5}),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "{}"}),
        event("message_delta", delta=None, usage=5),
        event("message_stop"),  # before it has told why
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\x"}}\n\n',
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\x01"}}\n\n',
    ],
)
def test_what_is_skipped(odd: bytes) -> None:
    """What is malformed, unknown or of no use to the client changes nothing, wherever it comes."""
    parts = [start(input_tokens=2), text("One"), text(" two"), end(output_tokens=2), STOP]
    expected = run([b"".join(parts)])
    for place in range(1, len(parts) - 1):
        assert run([b"".join([*parts[:place], odd, *parts[place:]])]) == expected
    assert run([odd + b"".join(parts)]) == expected


def test_content_before_the_start_is_none() -> None:
    """Without an id there is no completion that it could be of."""
    assert run([text("early")])[0] == b""


@pytest.mark.parametrize("tokens", [3, 10])
def test_exceeds(tokens: int) -> None:
    """An event of content has a token at least, and so have 16 bytes."""
    by_events, by_bytes = (MessageStream(show_usage=False, choices=1) for _ in range(2))
    for _ in range(tokens):
        by_events.feed(start() + text("a"))
    by_bytes.feed(start() + text("a" * (16 * tokens + 15)))
    assert not by_events.exceeds(tokens)
    assert not by_bytes.exceeds(tokens)
    by_events.feed(text("a"))
    by_bytes.feed(text("a"))
    assert by_events.exceeds(tokens)
    assert by_bytes.exceeds(tokens)


def test_cut() -> None:
    """A stream that is not let go on ends as at its maximum."""
    stream = MessageStream(show_usage=True, choices=1)
    sent = stream.feed(start() + text("Hi")) + stream.cut()
    assert [choice.finish_reason for chunk in chunks(sent) for choice in chunk.choices] == [
        None,
        None,
        "length",
    ]
    assert (stream.done, stream.feed(text("more")), stream.close()) == (True, b"", b"")


TEXTS = st.one_of(
    st.text(max_size=6), st.sampled_from(['"', "\\", "\n", "😀", "\u2028", "\ud800", "[DONE]", "}}"])
)
DELTAS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text_delta"), "text": TEXTS}),
    st.fixed_dictionaries({"type": st.just("thinking_delta"), "thinking": TEXTS}),
    st.fixed_dictionaries({"type": st.just("input_json_delta"), "partial_json": TEXTS}),
)
BLOCKS = st.sampled_from(
    [
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "thinking"},
    ]
)


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """One event of a message, in any spelling."""
    index = draw(st.integers(0, 2))
    made = draw(
        st.one_of(
            DELTAS.map(lambda delta: {"type": "content_block_delta", "index": index, "delta": delta}),
            BLOCKS.map(lambda block: {"type": "content_block_start", "index": index, "content_block": block}),
            st.just({"type": "content_block_stop", "index": index}),
            st.just({"type": "ping"}),
        )
    )
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    payload = json.dumps(made, separators=separators, ensure_ascii=draw(st.booleans()))
    return b"event: x\ndata: " + payload.encode("utf-8", "surrogatepass") + b"\n\n"


STREAMS = st.lists(events(), max_size=10).map(b"".join).map(lambda body: start(input_tokens=1) + body)


@given(STREAMS, CUTS, st.booleans())
def test_any_cut_comes_to_the_same(stream: bytes, cuts: list[int], whole: bool) -> None:  # noqa: FBT001
    """Whatever a message holds and however it is cut, the outcome is that of the uncut one."""
    came = stream + (end(output_tokens=5) + STOP if whole else b"")
    assert run(pieces(came, cuts)) == run([came])


@given(STREAMS)
def test_looking_at_bytes_is_reading(stream: bytes) -> None:
    """Events of text that are rewritten unread say what they say when they are parsed."""
    quick = run([stream + end() + STOP])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anthropic_stream, "_TEXT", re.compile("(?!)"))
        slow = run([stream + end() + STOP])
    assert [each.model_dump() for each in chunks(quick[0])] == [each.model_dump() for each in chunks(slow[0])]
    assert quick[1:] == slow[1:]
