"""`ChatStream`: what is the protocol and what is not, what ends a stream, and what of it is kept for the gateway."""

import json
from typing import Any

import pytest

from common.model.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from common.providers import openai_stream
from common.providers.openai_stream import ChatStream
from tests.unit.providers.streamed import SlowChatStream, run, single_bytes

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
BROKE_OFF = (UpstreamBroken, "The provider's answer broke off.", None)


def event(delta: dict[str, Any], finish_reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"id": "c", "choices": [choice], **more}).encode() + b"\n\n"


def raw(**members: Any) -> bytes:
    """An event of these members alone, without spaces."""
    return b"data: " + json.dumps(members, separators=(",", ":")).encode() + b"\n\n"


HELLO, STOP = event({"content": "Hello."}), event({}, "stop")

# -- usage


def test_usage_of_its_own_event() -> None:
    """The usage event is read always, and goes to who asked for it."""
    usage = raw(id="c", choices=[], usage=USAGE)
    for show_usage, sent in ((True, HELLO + STOP + usage + DONE), (False, HELLO + STOP + DONE)):
        outcome = run([HELLO, STOP, usage, DONE], show_usage=show_usage)
        assert (outcome.sent, outcome.usage, outcome.failure) == (sent, USAGE, None)


def test_usage_beside_choices() -> None:
    """An event with usage and choices goes on without the usage where that was not asked for."""
    mixed = raw(id="c", choices=[{"index": 0, "delta": {"content": "é"}}], usage=USAGE, x=[1])
    bare = raw(id="c", choices=[{"index": 0, "delta": {"content": "é"}}], x=[1])
    for show_usage, kept in ((True, mixed), (False, bare)):
        outcome = run([HELLO, mixed, STOP, DONE], show_usage=show_usage)
        assert (outcome.sent, outcome.usage) == (HELLO + kept + STOP + DONE, USAGE)


@pytest.mark.parametrize("null", [b'"usage":null', b'"usage" : null'])
def test_usage_null(null: bytes) -> None:
    """OpenAI's null in every event but the last is no usage, and no reason to change the event."""
    chunk = HELLO.replace(b'"id"', null + b', "id"')
    outcome = run([chunk, STOP, DONE])
    assert (outcome.sent, outcome.usage) == (chunk + STOP + DONE, None)


def test_the_last_usage_counts() -> None:
    """Where each event tells the usage so far, the last one holds; one that is empty does not undo it."""
    events = [event({"content": "a"}, usage=USAGE | {"completion_tokens": n}) for n in (1, 2, 3)]
    outcome = run([*events, event({}, "stop", usage={}), DONE])
    assert outcome.usage == USAGE | {"completion_tokens": 3}


def test_usage_beside_an_error() -> None:
    """What a failed stream says that it used is kept."""
    outcome = run([HELLO, raw(error={"code": 502, "message": "m"}, usage=USAGE)])
    assert outcome.usage == USAGE
    assert outcome.failure is not None


# -- errors within a stream


@pytest.mark.parametrize(
    ("error", "cls", "message", "code"),
    [
        pytest.param(
            {"code": 429, "message": "m"}, UpstreamRateLimited, "asks for patience: m", None, id="429"
        ),
        pytest.param(
            {"code": 502, "message": "m", "metadata": {"error_type": "provider_unavailable"}},
            UpstreamFailed,
            "failed: m",
            None,
            id="OpenRouter 502",
        ),
        pytest.param(
            {"code": 524, "message": "m"}, UpstreamTimeout, "did not answer in time", None, id="524"
        ),
        pytest.param(
            {"code": 400, "message": "m", "metadata": {"error_type": "context_length_exceeded"}},
            UpstreamRejected,
            "rejected the request: m",
            "context_length_exceeded",
            id="OpenRouter 400",
        ),
        pytest.param(
            {"code": "server_error", "message": "m"}, UpstreamFailed, "failed: m", None, id="string code"
        ),
        pytest.param(
            {"code": "rate_limit_exceeded", "type": "tokens", "message": "m", "param": None},
            UpstreamRateLimited,
            "asks for patience: m",
            "rate_limit_exceeded",
            id="OpenAI rate limit",
        ),
        pytest.param(
            {"code": None, "type": "server_error"}, UpstreamFailed, "The provider failed.", None, id="null"
        ),
        pytest.param(
            {"code": 200, "message": "m"}, UpstreamFailed, "failed: m", None, id="no status of an error"
        ),
        pytest.param({"code": True, "message": "m"}, UpstreamFailed, "failed: m", None, id="bool"),
        pytest.param({"message": 5}, UpstreamFailed, "The provider failed.", None, id="message is no text"),
        pytest.param("overloaded", UpstreamFailed, "failed: overloaded", None, id="text"),
        pytest.param(["m"], UpstreamFailed, "The provider failed.", None, id="array"),
        pytest.param(True, UpstreamFailed, "The provider failed.", None, id="true"),
    ],
)
def test_error_event(error: Any, cls: type[UpstreamError], message: str, code: str | None) -> None:
    """An error event ends the stream: what came before it goes on, nothing that follows it, and no `[DONE]`."""
    failed = raw(
        id="c", error=error, choices=[{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    )
    spaced = failed.replace(b'"error":', b'"error" : ')
    for parts in ([HELLO, STOP, failed, HELLO, DONE], [HELLO + STOP + spaced + HELLO + DONE]):
        outcome = run(parts)
        assert outcome.sent == HELLO + STOP
        assert outcome.failure is not None
        assert outcome.failure[0] is cls
        assert message in outcome.failure[1]
        assert outcome.failure[2] == code


@pytest.mark.parametrize("error", ["null", "false", "0", '""', "{}", "[]"])
def test_no_error(error: str) -> None:
    """A member that says that there is no error is none."""
    chunk = HELLO.replace(b'"id"', f'"error": {error}, "id"'.encode())
    assert run([chunk, STOP, DONE]).sent == chunk + STOP + DONE


def test_error_first() -> None:
    """An error as the first event: nothing has gone to the client yet."""
    outcome = run([b": processing\n\n", raw(error={"code": 503, "message": "overloaded"})])
    assert (outcome.sent, outcome.events) == (b"", 0)
    assert outcome.failure == (UpstreamFailed, "The provider failed: overloaded", None)


# -- how a stream ends


def test_missing_done() -> None:
    """A stream that has told its finish reason and then just ends gets the `[DONE]` that is missing."""
    assert run([HELLO, STOP]).sent == HELLO + STOP + DONE
    assert run([HELLO + STOP + b"data: {half"]).sent == HELLO + STOP + DONE


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b": c\n\n"],
        [HELLO],
        [HELLO, DONE],
        [DONE],
        [HELLO, STOP[:-1]],
        [event({"content": "x"}, "")],
    ],
    ids=[
        "nothing",
        "no bytes",
        "comment",
        "content",
        "done",
        "done alone",
        "half the reason",
        "empty reason",
    ],
)
def test_broken_off(parts: list[bytes]) -> None:
    """Without a finish reason it is not a whole answer, whether `[DONE]` came or not."""
    outcome = run(parts)
    assert outcome.failure == BROKE_OFF
    assert DONE not in outcome.sent


def test_content_after_an_early_done() -> None:
    """A `[DONE]` before any finish reason is no end: what comes is passed on."""
    assert run([HELLO, DONE, HELLO, STOP, DONE]).sent == HELLO + HELLO + STOP + DONE


@pytest.mark.parametrize("done", [DONE, b"data:[DONE]\n\n", b"data: [DONE] \r\n\r\n", b"data:  [DONE]\r\r"])
def test_after_done(done: bytes) -> None:
    """`[DONE]` ends the stream in any spelling; what comes behind it is ignored, errors too."""
    behind = HELLO + raw(error={"code": 500}) + raw(choices=[], usage=USAGE)
    for parts in ([HELLO, STOP, done, behind], [HELLO + STOP + done + behind]):
        stream = ChatStream(show_usage=True)
        assert b"".join(map(stream.feed, parts)) == HELLO + STOP + DONE
        assert (stream.done, stream.failure, stream.usage) == (True, None, None)
        assert stream.close() == b""


def test_several_choices() -> None:
    """Each choice that was asked for must have told its reason, unless the provider says itself that it is done."""
    one, two = event({"content": "a"}), event({"content": "b"}, index=1)
    stop_one, stop_two = event({}, "stop"), event({}, "length", index=1)
    assert run([one, two, stop_two, stop_one], choices=2).sent == one + two + stop_two + stop_one + DONE
    assert run([one + two + stop_two + stop_one], choices=2).failure is None
    assert run([one, two, stop_two], choices=2).failure == BROKE_OFF
    assert (
        run([one, stop_one, DONE], choices=2).sent == one + stop_one + DONE
    )  # it gives one, whatever is asked


def test_end_of_the_same_choice_twice() -> None:
    """A choice that tells twice why it ended does not stand for another one that never did."""
    one, two = event({"content": "a"}), event({"content": "b"}, index=1)
    stop = event({}, "stop")
    assert run([one, two, stop, stop], choices=2).failure == BROKE_OFF
    assert run([one + two + stop + stop], choices=2).failure == BROKE_OFF


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(raw(choices=[], metadata={"finish_reason": "stop"}), id="beside the choices"),
        pytest.param(event({"finish_reason": "stop", "content": "a"}), id="in the delta"),
        pytest.param(event({}, "error"), id="an error as the reason"),
        pytest.param(raw(choices="x", finish_reason="stop"), id="choices that are none"),
        pytest.param(
            raw(choices=["x", {"finish_reason": ""}], finish_reason="stop"), id="a choice that is none"
        ),
    ],
)
def test_no_reason_of_an_end(other: bytes) -> None:
    """Only a choice's own `finish_reason` ends it, `[DONE]` or not: others of this name mean nothing."""
    for end in ([], [DONE]):
        outcome = run([HELLO, other, *end])
        assert (outcome.sent, outcome.failure) == (HELLO + other, BROKE_OFF)


def test_error_of_a_choice() -> None:
    """An error that stands in a choice, where OpenRouter may put it, ends the stream like one beside the choices."""
    failed = raw(
        choices=[{"index": 0, "delta": {}, "error": {"code": 502, "message": "m"}, "finish_reason": "error"}]
    )
    for parts in ([HELLO, failed, DONE], [HELLO + failed + DONE], single_bytes(HELLO + failed + DONE)):
        outcome = run(parts)
        assert outcome.sent == HELLO
        assert outcome.failure == (UpstreamFailed, "The provider failed: m", None)


# -- what a model writes is not the protocol

TEXTS = [
    '{"usage":{"prompt_tokens":1,"completion_tokens":1}}',
    '"usage": {"prompt_tokens": 1}',
    '\\"usage\\":5',
    '"usage\\":5',
    '{"error":{"code":429,"message":"no"}}',
    '"error": "no"',
    '"finish_reason":"stop"',
    "[DONE]",
    "data: [DONE]\n\n",
    '\n\ndata: {"error":{"code":429}}\n\n',
    "\r\n\r\ndata: [DONE]\r\n\r\n",
    ": comment\n\nevent: error\ndata: x\n\n",
    '}\n\ndata: {"usage":{}}',
    "usage",
    "error",
    "\u2028\u2029\x85\x00\x0b",
    "😀\ufeff",
    "\ud800",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("delta", ["content", "reasoning", "tool_calls"])
def test_text_is_not_protocol(text: str, delta: str) -> None:
    """Text of a model that looks like usage, an error, an end or an event passes byte for byte, and is none."""
    calls = [{"index": 0, "function": {"name": text, "arguments": text}}]
    choice = {"index": 0, "delta": {delta: calls if delta == "tool_calls" else text}, "finish_reason": None}
    for ascii_only in (True, "\ud800" in text):  # half a character can only be written escaped
        written = json.dumps({"id": "c", "choices": [choice]}, ensure_ascii=ascii_only, separators=(",", ":"))
        chunk = b"data: " + written.encode() + b"\n\n"
        for parts in ([chunk, STOP, DONE], [chunk + STOP + DONE], single_bytes(chunk + STOP + DONE)):
            outcome = run(parts)
            assert (outcome.sent, outcome.usage, outcome.failure) == (chunk + STOP + DONE, None, None)
        assert run([chunk]).failure == BROKE_OFF


def test_nested_members_are_not_protocol() -> None:
    """Members of these names further down are the provider's own, and stay."""
    chunk = event(
        {"content": "x", "usage": {"a": 1}, "error": {"code": 429}}, meta={"usage": 1, "error": "e"}
    )
    outcome = run([chunk, STOP, DONE])
    assert (outcome.sent, outcome.usage, outcome.failure) == (chunk + STOP + DONE, None, None)


def test_everything_passes() -> None:
    """Fields that nobody here knows, numbers in any spelling and tool calls in fragments go on as they came."""
    chunks = [
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"t","function":{"name":"f"}}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{\\"a"}}]}}]}\n\n',
        b'data: { "x" : 1.10, "y":1E5, "z":-0, "choices":[{"delta":{"refusal":"no"},"logprobs":{"content":[]}}]}\n\n',
        b"data: {}\n\n",
    ]
    assert run([*chunks, STOP, DONE]).sent == b"".join(chunks) + STOP + DONE


# -- what is not the protocol


@pytest.mark.parametrize(
    "dropped",
    [
        pytest.param(b": OPENROUTER PROCESSING\n\n", id="comment"),
        pytest.param(b"event: ping\n\n", id="event without data"),
        pytest.param(b"data: ping\n\n", id="word"),
        pytest.param(b"data:\n\n", id="empty"),
        pytest.param(b"data: [1]\n\n", id="array"),
        pytest.param(b"data: null\n\n", id="null"),
        pytest.param(b'data: {"choices":[{"del\n\n', id="cut short"),
        pytest.param(b'data: "choices":[]}\n\n', id="without its start"),
        pytest.param(b'data: {"usage":{"prompt_tokens":}}\n\n', id="usage that is no JSON"),
        pytest.param(b'data: {"error":{"code":500}\n\n', id="error that is no JSON"),
        pytest.param(
            b'data: {"usage":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n", id="usage nested too deeply"
        ),
        pytest.param(b"<html><body>502</body></html>\n\n", id="HTML"),
        pytest.param(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', id="not UTF-8"),
        pytest.param(b'data: {"choices":[{"delta":{"content":"\xc3"}}]}\n\n', id="half a character"),
        pytest.param(b'data: {"choices":[{"delta":{"content":"\xed\xa0\x80"}}]}\n\n', id="surrogate"),
        pytest.param(b'data: {"choices":[{"finish_reason":"stop"}]]}\n\n', id="end that is no JSON"),
        pytest.param(b"\n\n\n", id="empty lines"),
    ],
)
def test_malformed_event(dropped: bytes) -> None:
    """An event that is not of the protocol is skipped, and the rest is delivered."""
    for parts in ([HELLO, dropped, HELLO, STOP, DONE], [HELLO + dropped + HELLO + STOP + DONE]):
        outcome = run(parts)
        assert (outcome.sent, outcome.failure) == (HELLO + HELLO + STOP + DONE, None)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(HELLO.replace(b"data: ", b"data:"), id="no space"),
        pytest.param(HELLO.replace(b"data: ", b"data:   "), id="more spaces"),
        pytest.param(HELLO.replace(b"\n\n", b" \t\n\n"), id="space behind"),
        pytest.param(HELLO.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(HELLO.replace(b"\n", b"\r"), id="CR"),
        pytest.param(b"event: message\nid: 5\n" + HELLO, id="other fields"),
        pytest.param(b": comment\n" + HELLO, id="comment before"),
        pytest.param(b"\xef\xbb\xbf" + HELLO, id="byte order mark"),
    ],
)
def test_other_spellings(written: bytes) -> None:
    """An event in an unusual spelling goes on in the usual one."""
    assert run([written, STOP, DONE]).sent == HELLO + STOP + DONE
    assert run(single_bytes(written + STOP + DONE)).sent == HELLO + STOP + DONE


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_several_lines(end: bytes) -> None:
    """An event on several lines stays on several, its usage being found all the same, and its lines are no events."""
    lines = [
        b'data: {"choices": [{"delta":',
        b"data: {}",
        b'data: , "finish_reason":',
        b'data: "stop"}], "usage":',
    ]
    chunk = b"\n".join([*lines, b'data: {"x": {}}}', b"", b""])
    written = chunk.replace(b"\n", end)
    for cut in range(len(written)):
        outcome = run([written[:cut], written[cut:], DONE], show_usage=True)
        assert (outcome.sent, outcome.usage, outcome.failure) == (chunk + DONE, {"x": {}}, None)
    assert run([written, DONE]).sent == raw(choices=[{"delta": {}, "finish_reason": "stop"}]) + DONE


def test_lines_within_an_event() -> None:
    """A line that looks like a whole event of its own is a part of the one that has begun."""
    lines = [b'data: {"choices": [{"finish_reason": "stop", "delta":', b'data: {"a": {}}}]}']
    chunk = b"\n".join([*lines, b"", b""])
    outcome = run([lines[0] + b"\n", lines[1] + b"\n\n", DONE])
    assert (outcome.sent, outcome.events) == (chunk + DONE, 1)
    carried = b'data: {"choices": [],\rdata: "x": 1}\n\n'
    assert run([carried, STOP, DONE]).sent == carried.replace(b"\r", b"\n") + STOP + DONE


# -- bounds and counts


@pytest.mark.parametrize("cls", [ChatStream, SlowChatStream])
def test_event_too_long(monkeypatch: pytest.MonkeyPatch, cls: type[ChatStream]) -> None:
    """An event that is too long ends the stream, whether it ever ends or not; what came before it goes on."""
    monkeypatch.setattr(openai_stream, "MAX_EVENT_BYTES", 200)
    long = event({"content": "x" * 200})
    too_long = (UpstreamBroken, "The provider sent an event that is too long.", None)
    for parts in (
        [HELLO, STOP, long],
        [HELLO + STOP + long],
        [HELLO + STOP + long[:205]],
        single_bytes(HELLO + long),
    ):
        outcome = run([*parts, HELLO, DONE], cls=cls)
        assert outcome.failure == too_long
        assert outcome.sent == (HELLO if len(parts) > 3 else HELLO + STOP)
    assert run([HELLO + STOP + DONE + long], cls=cls).failure is None
    assert run([HELLO * 50 + STOP + DONE], cls=cls).sent == HELLO * 50 + STOP + DONE


def test_counts() -> None:
    """Events and the bytes of their payloads are those that went on, the end not counted."""
    mixed = event({"content": "a"}, usage=USAGE)
    outcome = run([HELLO + mixed, b"data: no\n\n", STOP + raw(choices=[], usage=USAGE) + DONE])
    payloads = [line[len(b"data: ") :] for line in outcome.sent.split(b"\n\n")[:3]]
    assert outcome.events == 3
    assert outcome.output_bytes == sum(map(len, payloads))


def test_content_bytes() -> None:
    """How long the content is, about, is told by what the events have more than the first, which has none."""
    first = event({"role": "assistant", "content": ""})
    words = [event({"role": "assistant", "content": "x" * length}) for length in (1, 10, 100)]
    for parts in ([first, *words], [first + b"".join(words)], single_bytes(first + b"".join(words))):
        assert run(parts).content_bytes == 111
    assert run([]).content_bytes == 0


# -- the provider's own id


@pytest.mark.parametrize(
    ("first", "id_"),
    [
        (raw(id="gen-1", choices=[]), "gen-1"),
        (raw(choices=[{"index": 0, "delta": {"tool_calls": [{"id": "call_1"}]}}], id="gen-2"), "gen-2"),
        (raw(id="gen-3", choices=[], usage=USAGE), "gen-3"),
        (raw(id="gen-4", error={"code": 502, "message": "x"}), "gen-4"),
        (raw(choices=[{"index": 0, "delta": {"content": '"id":"forged"'}}]), None),
        (raw(id=None, choices=[]), None),
        (raw(id=5, choices=[]), None),
        (raw(id="", choices=[]), None),
        (raw(id="a\r\nb", choices=[]), None),
        (raw(id="x" * 129, choices=[]), None),
        (b"data: {nonsense}\n\n", None),
        (b"data: {" + b'"a":[' * 100_000 + b"}\n\n", None),
        (b"", "c"),
    ],
)
def test_id(first: bytes, id_: str | None) -> None:
    """The id is the first event's, whatever else is in it, if it can be an id; however the bytes are cut."""
    whole = first + HELLO + STOP + DONE
    cuts = [[whole], [first, HELLO + STOP, DONE], *([single_bytes(whole)] if len(whole) < 1_000 else [])]
    for parts in cuts:
        for cls in (ChatStream, SlowChatStream):
            stream = cls(show_usage=False)
            for part in parts:
                stream.feed(part)
            assert stream.id == id_


def test_no_id() -> None:
    """A stream that has not begun has none."""
    assert ChatStream(show_usage=False).id is None
