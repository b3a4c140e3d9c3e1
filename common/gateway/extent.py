"""How large a chat request is, as far as that can be told without asking anybody. Pure.

Text is bounded by the request's own bytes: a token has at least one, and JSON's spelling of a text is never shorter
than the text. What is not text (images, audio, files) is counted by part, and its data does not count as text.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.wire.json_members import JsonMembers
from common.wire.openai.chat import ChatRequest

_TEXT_PARTS: Final = ("text", "refusal", "input_text")  # no set: a client may send what cannot be in one
_LONGEST_OF_A_PART: Final = 4  # levels of nesting in which a part keeps its data


@dataclass(frozen=True, slots=True)
class Extent:
    """What a request may use at most, before prices and models are looked at."""

    text_bytes: int
    messages: int
    tools: bool
    media: int  # parts that are not text
    choices: int
    output_max: int | None  # of one choice, as the client asked
    structured: bool  # an output that is cut short is worth nothing
    audio: bool  # the answer may be spoken


def extent(request: ChatRequest, body: JsonMembers) -> Extent:
    """The extent of a request, `body` being its text."""
    parts = [
        part for message in request.messages if isinstance(message.content, list) for part in message.content
    ]
    media = [part for part in parts if part.get("type") not in _TEXT_PARTS]
    data_bytes = sum([len(text) for part in media for text in _strings(part.values(), _LONGEST_OF_A_PART)])
    format_ = (request.response_format or {}).get("type")
    return Extent(
        text_bytes=max(body.size - data_bytes, 0),
        messages=len(request.messages),
        tools=bool(request.tools) or "functions" in body.values,
        media=len(media),
        choices=request.n or 1,
        output_max=_most(request.max_completion_tokens, request.max_tokens),
        structured=format_ not in (None, "text") or bool(request.tools),
        audio="audio" in (request.modalities or ()),
    )


def _most(*given: int | None) -> int | None:
    """The larger one: which of two maxima a provider takes, it does not say."""
    return max([each for each in given if each is not None], default=None)


def _strings(values: Iterable[Any], depth: int) -> Iterator[str]:
    """The strings of a part: addresses and base64, which are ASCII, so as long in JSON as here."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping) and depth:
            yield from _strings(value.values(), depth - 1)
