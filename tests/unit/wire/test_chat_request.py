"""What the gateway reads from a chat request; `http/test_request.py` has what it refuses."""

from typing import Any

import pytest

from common.wire.openai.chat import ChatRequest
from common.wire.openai.models import Model, ModelList

MESSAGES = [{"role": "user", "content": "Say hello."}]


@pytest.mark.parametrize(
    ("given", "streamed", "wants_usage"),
    [
        ({}, False, False),
        ({"stream": None, "stream_options": None}, False, False),
        ({"stream": False}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": None}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": False}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True, "x": 1}}, True, True),
    ],
)
def test_stream(given: dict[str, Any], streamed: bool, wants_usage: bool) -> None:  # noqa: FBT001
    """A stream, and its usage, must be asked for; null is as good as absent."""
    request = ChatRequest.model_validate({"model": "m", "messages": MESSAGES, **given})
    assert (request.streamed, request.wants_usage) == (streamed, wants_usage)


@pytest.mark.parametrize("name", sorted(ChatRequest.model_fields.keys() - {"model", "messages"}))
def test_null_is_absent(name: str) -> None:
    """Every field that is not required may be null."""
    ChatRequest.model_validate({"model": "m", "messages": MESSAGES, name: None})


def test_models() -> None:
    """The list of models has OpenAI's shape."""
    assert ModelList(data=[Model(id="demo")]).model_dump(exclude_none=True) == {
        "object": "list",
        "data": [{"id": "demo", "object": "model", "created": 0, "owned_by": "sluice"}],
    }
