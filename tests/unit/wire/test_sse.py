"""Server-Sent Events: what a stream of bytes says, however it is cut, and what is too long."""

import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.wire.sse import EventTooLong, SseParser, frame

UNBOUNDED = 10**9
BOM = b"\xef\xbb\xbf"
FRAGMENTS = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n"),
    *(b"data: x", b"data:x", b"data:  x", b"data", b"data:", b"data: :", b"data: data: x", b"data: \xc3\xa9"),
    *(
        b"event: m",
        b"id: 1",
        b"retry: 5",
        b": comment",
        b":",
        b"dataset: x",
        b" data: x",
        b"Data: x",
        BOM,
        b"\xef",
    ),
]
LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
STREAMS = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=3), max_size=30).map(b"".join)
VALUES = st.binary(max_size=8).map(lambda value: value.translate(None, b"\r\n"))
NOISE = st.lists(st.sampled_from([b": c", b":", b"event: e", b"id", b"retry: 1", b"x: y"]), max_size=2)
CUTS = st.lists(st.integers(0, 150), max_size=12)


def pieces(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`stream`, cut at these places."""
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


def single_bytes(stream: bytes) -> list[bytes]:
    """`stream`, cut everywhere."""
    return [stream[at : at + 1] for at in range(len(stream))]


def parsed(parts: Iterable[bytes], limit: int = UNBOUNDED) -> tuple[list[bytes], bool]:
    """The payloads of a stream that comes in these parts, and whether an event of it is too long."""
    parser, payloads = SseParser(limit), []
    for part in parts:
        try:
            payloads += parser.feed(part)
        except EventTooLong as error:
            return payloads + error.payloads, True
    return payloads, False


def reference(stream: bytes, limit: int = UNBOUNDED) -> tuple[list[bytes], bool]:
    """The same by the letter of the standard, from the whole stream at once.

    stream = [bom] *event, event = *(comment / field) end-of-line; fields other than `data` have no say here. The
    standard knows no bound: an event is as long as its lines, with one byte for the line end between two of them.
    """
    *lines, unended = re.split(rb"\r\n|\r|\n", stream.removeprefix(BOM))
    payloads: list[bytes] = []
    data: list[bytes] = []
    length = -1
    for line in lines:
        if not line and length >= 0:
            if data:
                payloads.append(b"\n".join(data))
            data, length = [], -1
            continue
        length += 1 + len(line)
        if length > limit:
            return payloads, True
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
    if unended:
        length += 1 + len(unended)
    return payloads, length > limit


@given(STREAMS, CUTS)
@example(b"data: a\r\r\ndata: b\r\n\r\n", [8, 9, 10])
@example(BOM + BOM + b"data: a\n\n", [1, 2, 4, 5])
@example(b"data: a\n\n" + BOM + b"data: b\n\n", [9])
def test_as_the_standard_says(stream: bytes, cuts: list[int]) -> None:
    """The payloads are those of the standard's own rules, wherever the bytes are cut."""
    expected = reference(stream)
    assert parsed([stream]) == expected
    assert parsed(pieces(stream, cuts)) == expected
    assert parsed(single_bytes(stream)) == expected


@given(st.lists(st.lists(VALUES, min_size=1), max_size=6), CUTS, st.data())
def test_any_payload(payloads: list[list[bytes]], cuts: list[int], data: st.DataObject) -> None:
    """What a server puts into `data` fields arrives, whatever line ends, comments and other fields it mixes in."""
    lines: list[bytes] = []
    for payload in payloads:
        for value in payload:
            space = b" " if value.startswith(b" ") else data.draw(st.sampled_from([b"", b" "]))
            lines += [*data.draw(NOISE), b"data:" + space + value]
        lines += [*data.draw(NOISE), b""]
    stream = data.draw(st.sampled_from([b"", BOM]))
    for line in lines:
        end = data.draw(LINE_ENDS)
        # an LF behind a CR would be the same line end, not that of an empty line
        stream += line + (b"\r\n" if stream.endswith(b"\r") and line + end == b"\n" else end)
    assert parsed(pieces(stream, cuts)) == ([b"\n".join(payload) for payload in payloads], False)


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        pytest.param(b"data: a\n\n", [b"a"], id="LF"),
        pytest.param(b"data: a\r\n\r\n", [b"a"], id="CRLF"),
        pytest.param(b"data: a\r\r", [b"a"], id="CR"),
        pytest.param(b"data:a\n\n", [b"a"], id="no space"),
        pytest.param(b"data:  a \n\n", [b" a "], id="one space is no part of it"),
        pytest.param(b"data: a\ndata: b\n\n", [b"a\nb"], id="two lines"),
        pytest.param(b"data\n\n", [b""], id="without a colon"),
        pytest.param(b": keepalive\n\n", [], id="comment"),
        pytest.param(b"event: ping\nid: 1\nretry: 5\n\n", [], id="without data"),
        pytest.param(b"event: a\n: c\ndata: a\nid: 1\n\n", [b"a"], id="among other lines"),
        pytest.param(b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"], id="more empty lines"),
        pytest.param(b"data: a\n\ndata: b\n", [b"a"], id="the last has no end"),
        pytest.param(b"data: a\n\ndata: b\n\n", [b"a", b"b"], id="two"),
        pytest.param(BOM + b"data: a\n\n", [b"a"], id="byte order mark"),
        pytest.param(BOM[:2] + b"data: a\n\n", [], id="half a byte order mark"),
        pytest.param(b"data: a\n\n" + BOM + b"data: b\n\n", [b"a"], id="byte order mark later"),
        pytest.param(b"data: \xe2\x82\xac\xf0\x9f\x98\x80\n\n", ["€😀".encode()], id="UTF-8"),
        pytest.param(b"data: \x00\xff\xe2\n\n", [b"\x00\xff\xe2"], id="not UTF-8"),
        pytest.param(
            "data: a\x85b\u2028c\x0b\x0c\n\n".encode(), ["a\x85b\u2028c\x0b\x0c".encode()], id="no line ends"
        ),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_every_cut(stream: bytes, payloads: list[bytes]) -> None:
    """A stream says the same, cut at any place, at any two places, or everywhere."""
    assert reference(stream) == (payloads, False)
    assert parsed(single_bytes(stream)) == (payloads, False)
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            assert parsed(pieces(stream, [first, second])) == (payloads, False)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n"], ids=["LF", "CR", "CRLF"])
def test_told_at_once(end: bytes) -> None:
    """An event is told no later than with the last byte that belongs to it."""
    parser = SseParser(UNBOUNDED)
    assert [payload for byte in single_bytes(b"data: a" + end) for payload in parser.feed(byte)] == [b"a"]
    assert parser.between_events


def test_between_events() -> None:
    """It shows whether something is held back: a part of an event, a comment, or what may be a byte order mark."""
    for part in (b"d", b"data: a\n", b": c\n", b"\n", BOM[:1]):
        parser = SseParser(UNBOUNDED)
        assert parser.between_events
        parser.feed(part)
        assert not parser.between_events
    parser = SseParser(UNBOUNDED)
    parser.feed(b"data: a\n\n: c\n\n")
    assert parser.between_events


# -- what is too long


@given(STREAMS, CUTS, st.integers(10, 40))
def test_bound(stream: bytes, cuts: list[int], limit: int) -> None:
    """Where an event is too long, and which payloads come before it, does not depend on the cuts."""
    expected = reference(stream, limit)
    assert parsed([stream], limit) == expected
    assert parsed(pieces(stream, cuts), limit) == expected
    assert parsed(single_bytes(stream), limit) == expected


@pytest.mark.parametrize("line", [b"data: ", b": ", b"x"], ids=["data", "comment", "other"])
@pytest.mark.parametrize(
    "filler", [b"x", b"\n:", b"\r:"], ids=["one line", "lines", "lines that end with CR"]
)
def test_no_end_is_waited_for(line: bytes, filler: bytes) -> None:
    """An event that does not end is refused when it passes the bound, whatever it is made of."""
    assert parsed([line, *[filler] * 1001], 1000) == ([], True)


def test_exactly_as_long_as_allowed() -> None:
    """The bound itself is allowed: 16 bytes of lines, also when their last line end comes alone."""
    event = b"data: 0123456789"
    for parts in ([event + b"\n\n"], [event, b"\n", b"\n"], [event + b"\r", b"\n\r\n"], [event, b"\r\r"]):
        assert parsed(parts, 16) == ([b"0123456789"], False)
        assert parsed(parts, 15) == ([], True)


def test_many_events_are_not_long() -> None:
    """Any number of events, and of comments between them, passes the bound of one."""
    stream = b"data: 0123456789\n\n: comment\n\n" * 1000
    assert parsed([stream], 16) == ([b"0123456789"] * 1000, False)


def test_long_events_are_put_together_once() -> None:
    """A long event in small pieces grows in place: its bytes are not copied again for each piece."""
    parser = SseParser(UNBOUNDED)
    parser.feed(b"data: ")
    parser.feed(b"x")
    held = parser._held
    for _ in range(10_000):
        assert parser.feed(b"x") == []
        assert parser._held is held
    assert parser.feed(b"\n\n") == [b"x" * 10_001]


@given(st.binary().map(lambda payload: payload.replace(b"\r", b"")))
def test_frame(payload: bytes) -> None:
    """A payload as an event is read as that payload, and as one event."""
    parser = SseParser(UNBOUNDED)
    assert parser.feed(frame(payload)) == [payload]
    assert parser.between_events
