"""What goes on behind a stream that broke: no text twice, none lost, and nothing where that cannot be promised."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import UpstreamBroken
from common.providers.continuation import MAX_SENT_BYTES, ResumedStream, Said, Sent, prefilled, said
from common.providers.openai_stream import ChatStream
from tests.support.answers import chunk

ROLE = chunk({"role": "assistant", "content": ""})
END = chunk({}, "stop")
DONE = b"data: [DONE]\n\n"


def words(*texts: str) -> list[bytes]:
    """One event for each."""
    return [chunk({"content": text}) for text in texts]


def texts(events: bytes) -> list[str]:
    """The content of each event but the end's."""
    payloads = [event.removeprefix("data: ") for event in events.decode().split("\n\n") if event]
    each = [json.loads(payload) for payload in payloads if payload != "[DONE]"]
    return [choice["delta"].get("content", "") for event in each for choice in event["choices"]]


def resumed(what: Said, *, continued: bool) -> ResumedStream:
    """A stream that goes on with it."""
    return ResumedStream(ChatStream(show_usage=True), what, continued=continued)


def test_said() -> None:
    """The text of all events, and what they share."""
    found = said([ROLE + b"".join(words("Hel", "lo")), *words(" wörld")])
    assert found == Said("Hello wörld", {"id": "chatcmpl-1", "created": 1}, 3)


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"ci'}}]},
        {"function_call": {"arguments": "{"}},
        {"refusal": "I can"},
        {"audio": {"data": "AAAA"}},
        {"images": [{"image_url": {"url": "data:"}}]},
        {"content": [{"type": "text", "text": "x"}]},
        {"some_new_thing": "x"},
    ],
    ids=lambda delta: str(next(iter(delta))),
)
def test_what_cannot_be_continued(delta: dict[str, Any]) -> None:
    """Half a call of a tool, speech, and whatever is not known."""
    assert said([*words("Hello"), chunk(delta)]) is None


@pytest.mark.parametrize(
    "event",
    [END, b'data: {"choices":[{"index":1,"delta":{"content":"x"}}]}\n\n', b'data: {"choices":7}\n\n'],
    ids=["an end", "another choice", "no choices"],
)
def test_events_that_cannot_be_continued(event: bytes) -> None:
    """An answer that has told why it ends, one of several, and what is none."""
    assert said([*words("Hello"), event]) is None


def test_reasoning_is_not_said() -> None:
    """It is no part of the answer's text, and counts as tokens."""
    assert said([ROLE, chunk({"reasoning_content": "Hm."}), *words("Yes")]) == Said(
        "Yes", {"id": "chatcmpl-1", "created": 1}, 2
    )


def test_a_long_stream_is_not_kept() -> None:
    """Beyond a megabyte, memory matters more."""
    sent = Sent()
    sent.keep(words("x")[0])
    assert sent.said() is not None
    sent.keep(b"data: {}\n\n" * (MAX_SENT_BYTES // 10))
    assert sent.said() is None


@pytest.mark.parametrize(
    ("messages", "text", "asked"),
    [
        ([{"role": "user", "content": "Hi"}], "Hello ", [{"role": "user", "content": "Hi"}, "Hello"]),
        (
            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "He"}],
            "llo",
            [{"role": "user", "content": "Hi"}, "Hello"],
        ),
    ],
    ids=["a turn of its own", "behind the client's own beginning"],
)
def test_prefilled(messages: list[Any], text: str, asked: list[Any]) -> None:
    """The assistant's turn is begun with what was said, without space at its end."""
    *before, turn = asked
    assert prefilled(messages, text) == [*before, {"role": "assistant", "content": turn}]


def test_continued() -> None:
    """Where the provider goes on from there, what it says is new; space that it says again is not."""
    stream = resumed(Said("Hello, ", {"id": "first", "created": 7}, 2), continued=True)
    events = stream.feed(b"".join([ROLE, *words(" dear", " world"), END, DONE]))
    assert texts(events) == ["dear", " world", ""]
    assert stream.done
    assert b'"id":"chatcmpl-1"' not in events
    assert events.count(b'"id":"first","object"') == 3
    assert b'"role"' not in events


def test_spliced() -> None:
    """Where it begins anew, what the client has is not sent again."""
    stream = resumed(Said("Hello, wor", {}, 1), continued=False)
    events = stream.feed(b"".join([ROLE, *words("Hel", "lo, ", "world", "!"), END, DONE]))
    assert texts(events) == ["ld", "!", ""]
    assert stream.failure is None
    assert stream.done


@pytest.mark.parametrize(
    "events",
    [
        words("Good day"),
        words("Hel", "p!"),
        [*words("Hello"), END, DONE],
        [chunk({"tool_calls": [{"index": 0, "id": "a"}]})],
    ],
    ids=["another answer", "another end", "a shorter answer", "a call instead"],
)
def test_diverged(events: list[bytes]) -> None:
    """An answer that takes another way is an error, and nothing of it is sent."""
    stream = resumed(Said("Hello, wor", {}, 1), continued=False)
    assert stream.feed(b"".join([ROLE, *events])) == b""
    assert isinstance(stream.failure, UpstreamBroken)
    assert not stream.done
    assert stream.feed(words("ld")[0]) == b""
    with pytest.raises(UpstreamBroken):
        stream.close()


def test_reasoning_is_not_repeated() -> None:
    """The client has seen thoughts; those of another are not shown behind them."""
    stream = resumed(Said("", {}, 1), continued=False)
    events = stream.feed(b"".join([ROLE, chunk({"reasoning": "Hm."}), *words("Yes"), END, DONE]))
    assert texts(events) == ["Yes", ""]
    assert b"Hm." not in events


def test_a_failure_of_the_provider_is_told() -> None:
    """As of any stream."""
    stream = resumed(Said("He", {}, 1), continued=False)
    events = stream.feed(b"".join([*words("Hel"), b'data: {"error":{"message":"x","code":502}}\n\n']))
    assert texts(events) == ["l"]
    assert stream.failure is not None


@given(st.text(min_size=1, max_size=40), st.data())
def test_nothing_twice_and_nothing_lost(text: str, data: st.DataObject) -> None:
    """However the answer was cut into events, wherever it broke, and however the bytes of the other one come."""
    text = text.encode("utf-8", "replace").decode()
    broke_at = data.draw(st.integers(0, len(text)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = b"".join([ROLE, *words(*parts), END, DONE])
    stream = resumed(Said(text[:broke_at], {}, 1), continued=False)
    step = data.draw(st.integers(1, len(whole)))
    got = b"".join(stream.feed(whole[at : at + step]) for at in range(0, len(whole), step))
    assert text[:broke_at] + "".join(texts(got)) == text
    assert stream.done
