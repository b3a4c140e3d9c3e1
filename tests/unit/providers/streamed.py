"""Running a `ChatStream` over bytes in parts, and everything that came of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from common.model.errors import UpstreamError
from common.providers.openai_stream import ChatStream

Told = tuple[type[UpstreamError], str, str | None]


@dataclass(frozen=True)
class Outcome:
    """What a client and the gateway have of a stream. It ends with `failure`, or well."""

    sent: bytes
    usage: Any  # as the provider said it
    failure: Told | None
    events: int
    output_bytes: int
    content_bytes: int


class SlowChatStream(ChatStream):
    """Takes every event apart."""

    __slots__ = ()

    def _plain_part(self, data: bytes) -> tuple[bytes, int]:
        return b"", 0


def run(
    parts: Iterable[bytes], *, show_usage: bool = False, choices: int = 1, cls: type[ChatStream] = ChatStream
) -> Outcome:
    """Feed the parts as a relay does, and close where the provider has not ended the stream itself."""
    stream = cls(show_usage=show_usage, choices=choices)
    sent = b""
    failure: Told | None = None
    for part in parts:
        sent += stream.feed(part)
    try:
        sent += stream.close()
    except UpstreamError as error:
        failure = (type(error), error.message, error.code)
    sizes = stream.events, stream.output_bytes, stream.content_bytes
    return Outcome(sent, stream.usage, failure, *sizes)


def pieces(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    """`stream`, cut at these places."""
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


def single_bytes(stream: bytes) -> list[bytes]:
    """`stream`, cut everywhere."""
    return [stream[at : at + 1] for at in range(len(stream))]
