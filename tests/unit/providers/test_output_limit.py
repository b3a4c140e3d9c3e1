"""When an answer is longer than it may be, and how it is cut."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.providers.openai_stream import ChatStream
from tests.unit.providers.streamed import SlowChatStream, pieces, single_bytes

DONE = b"data: [DONE]\n\n"
SAME = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "f"}
TEXTS = st.text(max_size=5) | st.sampled_from(["data: {", "\n\ndata: {}\n\n", "}", '"id":"x"', "[DONE]"])


def event(content: str, **more: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return b"data: " + json.dumps(SAME | {"choices": [choice]} | more).encode() + b"\n\n"


def fed(*parts: bytes, choices: int = 1, cls: type[ChatStream] = ChatStream) -> ChatStream:
    """A stream that has come so far."""
    stream = cls(show_usage=False, choices=choices)
    for part in parts:
        stream.feed(part)
    return stream


def last(cut: bytes) -> Any:
    """The event that comes before the end."""
    assert cut.endswith(b"\n\n" + DONE)
    return json.loads(cut.removesuffix(b"\n\n" + DONE).removeprefix(b"data: "))


def test_exceeds() -> None:
    """An answer has at least as many tokens as events, and as sixteenths of its bytes."""
    stream = fed(event(""), event("a"), event("b"))
    assert (stream.exceeds(2), stream.exceeds(3)) == (True, False)
    stream = fed(event(""), event("x" * 160))
    assert (stream.exceeds(9), stream.exceeds(10)) == (True, False)
    assert not fed().exceeds(0)


@pytest.mark.parametrize("choices", [1, 3])
def test_cut(choices: int) -> None:
    """The last event is one of the same stream, and says of each choice that its length was reached."""
    stream = fed(event("a"), event("b"), choices=choices)
    told = [{"index": index, "delta": {}, "finish_reason": "length"} for index in range(choices)]
    assert last(stream.cut()) == SAME | {"choices": told}


def test_nothing_follows() -> None:
    """Whatever the provider sends after the cut goes nowhere."""
    stream = fed(event("a"))
    stream.cut()
    assert stream.done
    assert stream.feed(event("b") + DONE) == b""
    assert stream.close() == b""


@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(st.integers(0, 800), max_size=3))
def test_any_text_and_cuts(texts: list[str], cuts: list[int]) -> None:
    """What a model has written, and how its events came, makes no difference to the last one."""
    sent = b"".join(event(text, x=number) for number, text in enumerate(texts))
    for parts in (
        [sent],
        pieces(sent, cuts),
        single_bytes(sent),
        [b": c\n\n" + sent.replace(b"\n", b"\r\n")],
    ):
        for cls in (ChatStream, SlowChatStream):
            assert last(fed(*parts, cls=cls).cut()) == last(fed(event("")).cut())


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"data: {x}\n\n",
        b'data: {"a":' + b"[" * 100_000 + b"}\n\n",
        b"data: {}\n\n",
        b"data: { \xff }\n\n",
    ],
    ids=["nothing", "no JSON", "deep", "empty", "not UTF-8"],
)
def test_nothing_is_known(sent: bytes) -> None:
    """Where what came says nothing of itself, the cut has only what it must have."""
    assert last(fed(sent).cut()) == {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}


TOKEN = {"token": "x", "logprob": -0.5, "bytes": [120]}


@pytest.mark.parametrize(
    "delta",
    [
        pytest.param({"content": "x", "images": [{"image_url": {"url": "x" * 5_000}}]}, id="images"),
        pytest.param({"audio": {"data": "x" * 5_000}}, id="audio"),
        pytest.param(
            {"reasoning": "x", "reasoning_details": [{"text": "x", "format": "f" * 40}]}, id="details"
        ),
        pytest.param({"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]}, id="tools"),
    ],
)
@pytest.mark.parametrize(
    "logprobs", [None, {"content": [TOKEN | {"top_logprobs": [TOKEN] * 20}]}], ids=["", "log probabilities"]
)
def test_only_content_counts(delta: dict[str, Any], logprobs: dict[str, Any] | None) -> None:
    """Whatever else the events hold, however much, an answer has not more tokens for that."""
    choice = {"index": 0, "delta": delta, "logprobs": logprobs}
    events = [event(""), *[event("", choices=[choice])] * 100]
    for parts in (events, [b"".join(events)]):
        stream = fed(*parts)
        assert (stream.exceeds(100), stream.exceeds(101)) == (True, False)
        assert stream.content_bytes <= 100


@pytest.mark.parametrize("size", [4, 40, 400])
def test_long_answers(size: int) -> None:
    """Of a long answer, not all is kept to be counted, and the count is right."""
    events = [event(""), *[event("x" * size)] * 5_000]
    for parts in (events, [b"".join(events[i : i + 7]) for i in range(0, len(events), 7)]):
        stream = fed(*parts)
        assert sum(map(len, stream._uncounted)) < 2 * 256 * 1024
        assert stream.content_bytes == size * 5_000
        assert stream.content_bytes == size * 5_000


def test_counts_as_it_goes() -> None:
    """It makes no difference to the count how often it is asked for."""
    stream = fed(event(""))
    for number in range(1, 200):
        stream.feed(event("x" * 60))
        stream.exceeds(number)
        assert stream.content_bytes == number * 60
