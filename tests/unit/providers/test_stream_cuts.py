"""Properties of streamed answers: any stream, cut anywhere, comes to what a slow and simple reading of it says."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.model.errors import UpstreamBroken, UpstreamError
from common.providers import openai_stream
from common.providers.openai_errors import stated_error
from common.wire.sse import SseParser
from tests.unit.providers.streamed import SlowChatStream, Told, pieces, run, single_bytes

TEXTS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        [
            *(
                '"usage":{"a":1}',
                '\\"usage\\":1',
                '"error":{"code":500}',
                '"finish_reason":"stop"',
                "usage",
                "error",
            ),
            *(
                "[DONE]",
                "data: [DONE]\n\n",
                "\n\ndata: {}\n\n",
                "\r\n\r\n",
                "}\n\n",
                "{",
                "}",
                "😀",
                "\u2028",
                "\ud800",
            ),
        ]
    ),
)
USAGES = st.sampled_from(
    [None, {}, 5, "x", {"prompt_tokens": 1, "completion_tokens": 2}, {"x": {"usage": 1}}]
)
ERRORS = st.sampled_from([None, "", "x", {"code": 429}, {"code": 400, "message": "m"}, {"message": "[DONE]"}])
DELTAS = st.one_of(
    st.fixed_dictionaries({"content": TEXTS}),
    st.fixed_dictionaries({"tool_calls": st.lists(st.fixed_dictionaries({"arguments": TEXTS}), max_size=2)}),
    st.fixed_dictionaries({"usage": USAGES, "error": ERRORS}),  # of nobody's protocol, in this place
)
CHOICES = st.fixed_dictionaries(
    {"index": st.integers(0, 1), "delta": DELTAS},
    optional={"finish_reason": st.sampled_from([None, None, "", "stop", "length"])},
)
EVENTS = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, max_size=2)},
    optional={"usage": USAGES, "error": st.none() | ERRORS, "id": TEXTS, "x": st.floats(allow_nan=False)},
)
NO_EVENTS = st.sampled_from(
    [
        *(
            b": comment\n\n",
            b"event: ping\n\n",
            b"data: ping\n\n",
            b"data\n\n",
            b"\n",
            b"\r\n",
            b"data: [1]\n\n",
        ),
        *(
            b"data: {cut\n\n",
            b'data: {"usage":{]}\n\n',
            b'data: {"error":{]}\n\n',
            b"\xef\xbb\xbf",
            b"data: {}\n\n",
        ),
    ]
)
DONE = st.sampled_from([b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n"])
CUTS = st.lists(st.integers(0, 2_000), max_size=8)


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """One event of the protocol, in any spelling."""
    indent = draw(st.sampled_from([None, None, None, 1]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]))
    text = json.dumps(draw(EVENTS), indent=indent, separators=separators, ensure_ascii=draw(st.booleans()))
    lines = text.encode("utf-8", "surrogatepass").split(b"\n")
    field = draw(st.sampled_from([b"data: ", b"data: ", b"data: ", b"data:", b"data:  "]))
    end = draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"]))
    return end.join([*(field + line for line in lines), b"", b""])


STREAMS = st.lists(events() | events() | events() | NO_EVENTS | DONE, max_size=10).map(b"".join)


def reading(stream: bytes, *, show_usage: bool, choices: int) -> tuple[bytes, Any, Told | None]:
    """What is sent, the usage, and how it fails: every event taken apart, from the whole stream at once."""
    sent, usage, done = b"", None, False
    ended: set[int] = set()
    for came in SseParser(10**9).feed(stream):
        payload = came.strip()
        if payload == b"[DONE]":
            if ended:
                done = True
                break
            continue
        try:
            event = json.loads(payload.decode())
        except ValueError:
            continue
        if not isinstance(event, dict):
            continue
        usage = event.get("usage") or usage
        if event.get("error"):
            error = stated_error(event["error"])
            return sent, usage, told(error)
        if event.get("usage") and not show_usage:
            del event["usage"]
            if not event.get("choices"):
                continue
            payload = json.dumps(event, separators=(",", ":")).encode()
        ended.update(choice["index"] for choice in event.get("choices", ()) if choice.get("finish_reason"))
        sent += b"data: " + payload.replace(b"\n", b"\ndata: ") + b"\n\n"
    if done or len(ended) >= choices:
        return sent + b"data: [DONE]\n\n", usage, None
    return sent, usage, (UpstreamBroken, "The provider's answer broke off.", None)


def told(error: UpstreamError) -> Told:
    """What an error says."""
    return type(error), error.message, error.code


@given(STREAMS, CUTS, st.booleans(), st.integers(1, 2))
@example(b'data: {"choices":[]}\n\n' + b"\xef\xbb\xbf" + b'data: {"choices":[]}\n\n', [22], False, 1)  # noqa: FBT003
def test_any_stream_and_cut(stream: bytes, cuts: list[int], show_usage: bool, choices: int) -> None:  # noqa: FBT001
    """The fast way and the slow way, and all cuts, come to the same, which is what the events say."""
    whole = run([stream], show_usage=show_usage, choices=choices)
    assert (whole.sent, whole.usage, whole.failure) == reading(stream, show_usage=show_usage, choices=choices)
    for parts in ([stream], pieces(stream, cuts), single_bytes(stream)):
        assert run(parts, show_usage=show_usage, choices=choices) == whole
        assert run(parts, show_usage=show_usage, choices=choices, cls=SlowChatStream) == whole


@given(STREAMS, CUTS, st.integers(20, 120))
def test_any_bound_and_cut(stream: bytes, cuts: list[int], limit: int) -> None:
    """Where an event is too long, and what comes of the stream until then, is the same for all cuts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_stream, "MAX_EVENT_BYTES", limit)
        whole = run([stream], cls=SlowChatStream)
        for parts in ([stream], pieces(stream, cuts), single_bytes(stream)):
            assert run(parts) == whole


@given(st.binary(max_size=60), CUTS)
def test_any_bytes(stream: bytes, cuts: list[int]) -> None:
    """Whatever comes, nothing but a provider's failure comes of it."""
    assert run(pieces(stream, cuts)) == run([stream])
