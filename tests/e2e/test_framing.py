"""Streams that are right, but framed in their provider's own way: every client reads what it was meant to."""

from collections.abc import Callable, Mapping
from typing import Final

import pytest

from tests.e2e.client import Client, task
from tests.e2e.provider_turns import DONE
from tests.support.answers import USAGE, chunk, stream
from tests.support.scripted import scripted, streaming

WORDS: Final = ("Grüß", " Gott, ", "世界 🙂")
# with its characters as UTF-8, which JSON by Python would escape
TEXT: Final = (
    b"".join(stream("Gruess", " Gott, ", "Welt"))
    .replace(b"Gruess", "Grüß".encode())
    .replace(b"Welt", "世界 🙂".encode())
)
FRAMINGS: Final[Mapping[str, Callable[[bytes], list[bytes]]]] = {
    "CRLF": lambda text: [text.replace(b"\n", b"\r\n")],
    "CR": lambda text: [text.replace(b"\n", b"\r")],
    "no space after the colon": lambda text: [text.replace(b"data: ", b"data:")],
    "byte order mark": lambda text: [b"\xef\xbb\xbf" + text],
    "comments": lambda text: [text.replace(b"data: ", b": OPENROUTER PROCESSING\n\ndata: ")],
    "ids and names of events": lambda text: [
        text.replace(b"data: ", b"id: 1\nevent: message\nretry: 9\ndata: ")
    ],
    "an event on several lines": lambda text: [text.replace(b', "choices"', b',\ndata: "choices"')],
    "byte by byte": lambda text: [bytes([byte]) for byte in text],
    "all at once": lambda text: [text],
    "no last word": lambda text: [text.removesuffix(DONE)],
    "more after the last word": lambda text: [text + chunk({"content": "ghost"})],
    "empty lines": lambda text: [b"\n\n" + text.replace(b"\n\n", b"\n\n\n\n")],
}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_framing(client: Client, framing: str) -> None:
    """The words, the end and the usage arrive."""
    async with scripted(streaming(FRAMINGS[framing](TEXT))) as gateway:
        seen = await client.play("streamed", task(gateway))
    assert "error" not in seen
    assert seen["pieces"] == list(WORDS)
    assert (seen["finish"], seen["usage"]) == ("stop", [USAGE["prompt_tokens"], USAGE["completion_tokens"]])
