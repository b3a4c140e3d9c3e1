"""Whatever passes the validation of a chat request becomes one of Anthropic's, or is refused in so many words."""

import json
from itertools import pairwise
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.model.errors import UpstreamRejected
from common.providers.anthropic import ANTHROPIC
from common.wire.json_members import JsonMembers
from common.wire.openai.chat import ChatRequest

WORDS: Final = st.sampled_from(
    [
        "",
        " ",
        "text",
        "auto",
        "none",
        "high",
        "function",
        "data:,",
        "data:image/png;base64,AA",
        "data:text/plain;base64,é",
    ]
)
NAMES: Final = st.sampled_from(
    [
        *("type", "text", "image_url", "url", "file", "file_data", "file_id", "filename", "function", "name"),
        *("arguments", "parameters", "effort", "max_tokens", "enabled", "json_schema", "schema", "refusal"),
        *("signature", "data", "format", "cache_control", "strict", "description"),
    ]
)
KINDS: Final = st.sampled_from(
    ["text", "image_url", "file", "input_audio", "refusal", "function", "json_schema", "json_object"]
)
JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
OBJECTS: Final = st.dictionaries(NAMES, JSON, max_size=4).flatmap(
    lambda made: st.one_of(st.just(made), KINDS.map(lambda kind: {**made, "type": kind}))
)
MESSAGES: Final = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])},
    optional={
        "content": WORDS | st.lists(OBJECTS, max_size=3),
        "tool_calls": st.lists(OBJECTS, max_size=2),
        "tool_call_id": WORDS,
        "refusal": JSON,
        "reasoning_details": JSON,
        "cache_control": JSON,
    },
)
REQUESTS: Final = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["claude-sonnet-4-5", "claude-opus-4-8", "claude-3-haiku", "x"]),
        "messages": st.lists(MESSAGES, min_size=1, max_size=4),
    },
    optional={
        "tools": st.lists(OBJECTS, max_size=2),
        "tool_choice": WORDS | OBJECTS,
        "response_format": OBJECTS,
        "reasoning": JSON,
        "reasoning_effort": JSON,
        "thinking": OBJECTS,
        "stop": WORDS | st.lists(WORDS, max_size=2),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": JSON,
        "cache_control": JSON,
        "max_tokens": st.integers(1, 10**5),
        "n": st.integers(1, 2),
        "service_tier": JSON,
        "verbosity": JSON,
        "new": JSON,
    },
)


def is_valid(text: bytes) -> bool:
    """Whether a request gets as far as a provider."""
    try:
        ChatRequest.model_validate_json(text)
    except ValidationError:
        return False
    return True


def encoded(body: JsonMembers) -> tuple[Any, tuple[str, ...]] | UpstreamRejected:
    """What goes out and what is left out, or the refusal."""
    try:
        return json.loads(ANTHROPIC.encode(body, {}, None)), ANTHROPIC.left_out(body, {})
    except UpstreamRejected as refused:
        return refused


@given(REQUESTS)
def test_any_request(asked: dict[str, Any]) -> None:
    """Its turns alternate, and what is left out is not in it; a refusal names a member of the request."""
    text = json.dumps(asked).encode()
    if not is_valid(text):
        return
    made = encoded(JsonMembers(text))
    if isinstance(made, UpstreamRejected):
        assert (made.param in asked, made.code) == (True, "unsupported_parameter")
        return
    request, names = made
    roles = [turn["role"] for turn in request["messages"]]
    assert all(one != other for one, other in pairwise(roles))
    assert all(turn["content"] for turn in request["messages"])
    assert set(names) <= asked.keys() - request.keys()
