"""What is kept of bodies: a bounded part, and of a stream the text that it carried."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.ids import RequestId
from common.telemetry.bodies import LONGEST_KEPT, Bodies, BodyKeeper, Kept, StreamKeeper, tell_bodies
from common.telemetry.text import LONGEST_SHOWN
from common.wire.sse import frame
from tests.support.scripted import PROVIDER_KEY, LogLines, logging_to


def event(*choices: Any) -> bytes:
    """A chunk."""
    return frame(json.dumps({"id": "x", "choices": list(choices)}).encode())


def said(text: str, index: int = 0) -> bytes:
    """A chunk with some content of a choice."""
    return event({"index": index, "delta": {"content": text}})


def kept_of(pieces: Iterable[bytes]) -> dict[str, str]:
    """The texts of a stream by their names."""
    keeper = StreamKeeper()
    for piece in pieces:
        keeper.add(piece)
    return dict(each.text.split(": ", 1) for each in keeper.parts() if each.text)


def logged(bodies: Bodies) -> LogLines:
    """How they are logged."""
    lines = LogLines()
    with logging_to(lines):
        tell_bodies(bodies)
    return lines


@given(st.lists(st.binary(max_size=20_000), max_size=8))
def test_body(pieces: list[bytes]) -> None:
    """The start of a body is kept, its size is that of all of it, and it is known whether there was more."""
    keeper = BodyKeeper()
    for piece in pieces:
        keeper.add(piece)
    body = b"".join(pieces)
    assert keeper.parts() == (
        Kept(body[:LONGEST_KEPT].decode("utf-8", "replace"), len(body), len(body) > LONGEST_KEPT),
    )


@given(st.text(min_size=1, max_size=200), st.data())
def test_stream_is_put_together(text: str, data: st.DataObject) -> None:
    """However a text is cut into events, and the events into pieces, it is kept as one."""
    at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    parts = [text[start:end] for start, end in zip([0, *at], [*at, len(text)], strict=True)]
    stream = b"".join([*(said(each) for each in parts), b": comment\n\n", frame(b"[DONE]")])
    cut = data.draw(st.integers(0, len(stream)))
    assert kept_of([stream[:cut], stream[cut:]]) == {"0.content": text}


def test_kinds_of_text_are_told_apart() -> None:
    """Choices come in turns, calls of tools in pieces: each text is put together by itself."""
    call = {"index": 1, "function": {"arguments": '{"a"'}}
    rest = {"index": 1, "function": {"arguments": ":1}"}}
    found = kept_of(
        [
            event(
                {"index": 0, "delta": {"role": "assistant", "content": "a"}},
                {"index": 1, "delta": {"content": "x"}},
            ),
            event(
                {"index": 1, "delta": {"content": "y"}},
                {"index": 0, "delta": {"content": "b", "reasoning": "r"}},
            ),
            event({"index": 0, "delta": {"tool_calls": [call]}}),
            event({"index": 0, "delta": {"tool_calls": [rest]}}),
        ]
    )
    assert found == {
        "0.role": "assistant",
        "0.content": "ab",
        "1.content": "xy",
        "0.reasoning": "r",
        "0.tool_calls.1.function.arguments": '{"a":1}',
    }


@pytest.mark.parametrize(
    "payload",
    [
        b'{"error":{"message":"broke"}}',
        b'{"error":{"message":"x"},"choices":[]}',
        b"not JSON",
        b"[1]",
        b"[" * 10_000,
        b"9" * 5_000,
    ],
    ids=["error", "error in a chunk", "text", "array", "deep", "digits"],
)
def test_other_events(payload: bytes) -> None:
    """What is no chunk is kept as it came: how a stream failed is what its reader looks for."""
    assert kept_of([said("a"), frame(payload)]) == {"0.content": "a", "event": payload.decode() + "\n"}


@pytest.mark.parametrize(
    "choices",
    [
        [None],
        [{"index": "x", "delta": {"content": "a"}}],
        [{"delta": None}],
        [{"index": -1, "delta": {"a": [[[[[[[["z"]]]]]]]]}}],
    ],
)
def test_odd_chunks(choices: list[Any]) -> None:
    """A chunk that is not as it should be is no failure; what is no number of a choice is not taken for one."""
    assert kept_of([event(*choices)]).keys() <= {"0.content"}


def test_stream_is_bounded() -> None:
    """However long, in however many choices, and without an end of its event, a stream is kept up to a bound."""
    keeper = StreamKeeper()
    for number in range(2_000):
        keeper.add(said("x" * 100, number))
        keeper.add(event({"delta": {str(number): "y" * 100, "z" * 500: "y"}}))
    assert sum(len(each.text) for each in keeper.parts()) < LONGEST_KEPT + 64 * 300
    assert all(each.is_cut for each in keeper.parts())
    endless = StreamKeeper()
    endless.add(said("before"))
    for _ in range(40):
        endless.add(b"data: " + b"x" * 100_000)
    [kept] = endless.parts()
    assert (kept.text, kept.is_cut) == ("0.content: before", True)


def test_bodies_do_not_print() -> None:
    """Whoever else shows an entry of the log shows no body."""
    kept = Kept("private words", 13, is_cut=False)
    bodies = Bodies(RequestId("req_1"), kept, (kept,))
    assert "private" not in f"{bodies} {bodies!r}"


def test_entry() -> None:
    """Bodies are one entry, with the id of the request: in JSON as they were, in words without what does not print."""
    asked = Kept(f'{{"k":"{PROVIDER_KEY}\r\n\x1b[2J\u202e"}}', 99, is_cut=False)
    answer = (Kept("0.content: provider-", 7, is_cut=False), Kept("1.content: hello", 7, is_cut=False))
    lines = logged(Bodies(RequestId("req_1"), asked, answer))
    entry = json.loads(lines.json[0])
    assert (entry.pop("level"), entry.pop("logger")) == ("info", "sluice.bodies")
    del entry["time"]
    assert entry == {
        "request_id": "req_1",
        "request_body": '{"k":"[hidden]\r\n\x1b[2J\u202e"}',
        "request_bytes": 99,
        "answer_body": "0.content: provider-\n1.content: hello",
        "answer_bytes": 7,
    }
    assert lines.json[0].isascii()
    assert lines.json[0].isprintable()
    first, *rest = lines.plain[0].split("\n")
    assert first.endswith(" bodies of req_1")
    assert [each.strip() for each in rest] == [
        '> {"k":"[hidden]\ufffd\ufffd\ufffd[2J\ufffd"}',
        "< 0.content: provider-\ufffd1.content: hello",
    ]


@given(
    st.text(max_size=3_000), st.sampled_from([PROVIDER_KEY, json.dumps(PROVIDER_KEY), "sk-sluice-0123456789"])
)
def test_no_key_is_in_an_entry(text: str, key: str) -> None:
    """Whatever stands around a key, and wherever the body was cut, it is in no line of the log."""
    keeper = BodyKeeper()
    keeper.add((text + key).encode("utf-8", "surrogatepass") * 20)
    lines = logged(Bodies(RequestId("req_1"), keeper.whole(), keeper.parts()))
    for line in (*lines.json, *lines.plain):
        assert PROVIDER_KEY not in line
        assert "sk-sluice-" not in line
        assert len(line) < 2 * 12 * LONGEST_SHOWN + 1_000
