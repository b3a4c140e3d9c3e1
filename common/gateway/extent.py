"""How large a chat request is, as far as that can be told without asking anybody. Pure.

Text is bounded by the request's own bytes: a token has at least one, and JSON's spelling of a text is never shorter
than the text. What is not text (images, audio, files) is counted by part, and its data does not count as text.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from common.wire.json_members import JsonMembers
from common.wire.openai.chat import ChatRequest

BYTES_PER_TOKEN: Final = 4  # of text, as estimated for rate limits
TOKENS_PER_MEDIUM: Final = 1_000  # the same of a part that is not text
_TEXT_PARTS: Final = ("text", "refusal", "input_text")  # no set: a client may send what cannot be in one
_LONGEST_OF_A_PART: Final = 4  # levels of nesting in which a part keeps its data


class Extent(NamedTuple):
    """What a request may use at most, before prices and models are looked at."""

    text_bytes: int
    messages: int
    tools: bool
    media: int  # parts that are not text
    choices: int
    output_max: int | None  # of one choice, as the client asked
    structured: bool  # an output that is cut short is worth nothing
    audio: bool  # the answer may be spoken

    @property
    def input_estimate(self) -> int:
        """Tokens, as rate limits count them."""
        return -(-self.text_bytes // BYTES_PER_TOKEN) + self.media * TOKENS_PER_MEDIUM


def extent(request: ChatRequest, body: JsonMembers) -> Extent:
    """The extent of a request, `body` being its text."""
    parts = [
        part for message in request.messages if isinstance(message.content, list) for part in message.content
    ]
    media = [part for part in parts if part.get("type") not in _TEXT_PARTS]
    data_bytes = 0
    if media:
        data_bytes = sum(
            [len(text) for part in media for text in _strings(part.values(), _LONGEST_OF_A_PART)]
        )
    tools, format_ = bool(request.tools), request.response_format
    return Extent(
        text_bytes=max(body.size - data_bytes, 0),
        messages=len(request.messages),
        tools=tools or "functions" in body.values,
        media=len(media),
        choices=request.n or 1,
        output_max=_most(request.max_completion_tokens, request.max_tokens),
        structured=tools or (format_ is not None and format_.get("type") not in (None, "text")),
        audio="audio" in (request.modalities or ()),
    )


def _most(one: int | None, other: int | None) -> int | None:
    """The larger one: which of two maxima a provider takes, it does not say."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _strings(values: Iterable[Any], depth: int) -> Iterator[str]:
    """The strings of a part: addresses and base64, which are ASCII, so as long in JSON as here."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping) and depth:
            yield from _strings(value.values(), depth - 1)
