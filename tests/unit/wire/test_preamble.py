"""What of a stream has content, so that it cannot be held back any longer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.wire.openai.preamble import MAX_HELD_BYTES, has_content
from tests.support.answers import USAGE, chunk


@pytest.mark.parametrize(
    "delta",
    [
        {},
        {"role": "assistant"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": None, "refusal": None},
        {"content": "", "reasoning": "", "reasoning_content": None},
        {"tool_calls": []},
        {"content": []},
        {"reasoning_details": [], "images": []},
        {"function_call": None, "audio": None},
        {"name": "content"},
    ],
    ids=str,
)
def test_preamble(delta: dict[str, Any]) -> None:
    """A role, and what is empty."""
    assert not has_content(chunk(delta))
    assert not has_content(chunk(delta) * 3)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x"},
        {"role": "assistant", "content": " "},
        {"content": '"'},
        {"content": "\n"},
        {"reasoning": "Hm."},
        {"reasoning_content": "Hm."},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "AAAA"}]},
        {"refusal": "I can't."},
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}]},
        {"function_call": {"name": "f"}},
        {"audio": {"id": "a"}},
        {"images": [{"image_url": {"url": "data:"}}]},
        {"annotations": [{"type": "url_citation"}]},
        {"content": [{"type": "text", "text": "x"}]},
    ],
    ids=str,
)
def test_content(delta: dict[str, Any]) -> None:
    """Whatever a client would show or act on, also behind a role."""
    assert has_content(chunk(delta))
    assert has_content(chunk({"role": "assistant", "content": ""}) + chunk(delta))


@pytest.mark.parametrize(
    ("event", "content"),
    [
        (chunk({}, "stop"), True),
        (chunk({}, ""), False),
        (chunk({}, None, choices=[], usage=USAGE), True),
        (chunk({}, None, usage=None), False),
        (b'data: {"error": {"message": "no"}}\n\n', True),
        (b'data: {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"content" :\t"x"}}]}\n\n', True),
        (b"", False),
    ],
    ids=["end", "no end yet", "usage", "no usage yet", "error", "filter", "dense", "loose", "nothing"],
)
def test_events(event: bytes, content: bool) -> None:  # noqa: FBT001
    """What stands beside the delta, and other spellings."""
    assert has_content(event) is content


@given(st.text(max_size=40))
def test_a_model_cannot_write_it(text: str) -> None:
    """Whatever stands in a string is no content by itself: quotes are escaped there."""
    assert not has_content(chunk({"role": text + '"content":"x"'}))


@given(
    st.lists(st.sampled_from([chunk({}), chunk({"role": "assistant"}), b": comment\n\n"]), min_size=1),
    st.integers(0),
)
def test_it_is_never_held_for_ever(kinds: list[bytes], more: int) -> None:
    """Beyond 64 KB whatever it is goes out, and not before."""
    events = b"".join(kinds)
    most = MAX_HELD_BYTES // len(events)
    assert not has_content(events * most)
    assert has_content(events * (most + 1 + more % 9))
