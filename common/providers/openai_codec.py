"""OpenAI's chat protocol, as a codec: most of what passes needs no change. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from common.providers.codec import Answer, Codec
from common.providers.openai import read_answer
from common.providers.openai_errors import failure
from common.providers.openai_stream import ChatStream
from common.wire.json_members import JsonMembers


def _encode(body: JsonMembers, changes: Mapping[str, Any], output_max: int | None) -> bytes:  # noqa: ARG001
    """The client's own text, with only those members replaced that must be. No maximum need be named."""
    return body.with_members(changes)


def _left_out(body: JsonMembers, changes: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG001
    """Nothing: what is not known is the provider's to judge."""
    return ()


def _read_answer(body: bytes, created_s: int = 0) -> Answer:  # noqa: ARG001
    """It says itself when."""
    return read_answer(body)


def _stream(*, show_usage: bool, choices: int, created_s: int = 0) -> ChatStream:  # noqa: ARG001
    """The same."""
    return ChatStream(show_usage=show_usage, choices=choices)


OPENAI: Final = Codec(
    path="/chat/completions",
    id_header="x-generation-id",  # OpenRouter's
    encode=_encode,
    left_out=_left_out,
    read_answer=_read_answer,
    stream=_stream,
    failure=failure,
)
