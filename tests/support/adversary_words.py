"""A provider whose HTTP is right, and whose answers are not: scripts and makers of scripts, as in `adversary.py`."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from tests.support.adversary import CHUNKED, EVENTS, Script, begin, body_for, half_for, is_streamed, piece
from tests.support.answers import chunk, completion
from tests.support.origin import Exchange

ODD_HEADERS: Final = (
    "set-cookie: session=theirs",
    "server: theirs",
    "x-theirs: 1",
    "connection: keep-alive, x-theirs",
    "alt-svc: h3=:443",
    "x-ratelimit-remaining-requests: 5",
)
PAGE: Final = b"<html><body><h1>It works!</h1></body></html>"
LIES: Final = (
    {"prompt_tokens": -5, "completion_tokens": -5},
    {"prompt_tokens": 9, "completion_tokens": 10**15},
    {"prompt_tokens": "9", "completion_tokens": None},
    {"prompt_tokens": 1e300, "completion_tokens": True},
    [9, 2],
)


def says(body: bytes, status: str = "200 OK", *lines: str, kind: str = "application/json") -> Script:
    """Whatever is asked, this."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(body, status, f"content-type: {kind}", *lines)

    return script


def fails(status: str, error: Any, *lines: str) -> Script:
    """An error in OpenAI's envelope."""
    return says(json.dumps({"error": error}).encode(), status, *lines)


def streams(*pieces: bytes) -> Script:
    """A stream that comes in these pieces and ends in order; whatever else is asked gets the same."""

    async def script(exchange: Exchange) -> None:
        await begin(exchange, CHUNKED)
        for data in pieces:
            await piece(exchange, data)
            await asyncio.sleep(0)
        await exchange.send(b"0\r\n\r\n")

    return script


def writes(before: bytes, after: bytes) -> Script:
    """A sound stream that writes one thing in its own way."""
    return streams(b"".join(EVENTS).replace(before, after))


def with_events(*events: bytes, at: int = 2) -> Script:
    """A sound stream with these events within."""
    return streams(*EVENTS[:at], *events, *EVENTS[at:])


def without(*events: int) -> Script:
    """A sound stream without these events."""
    return streams(*(event for index, event in enumerate(EVENTS) if index not in events))


def breaks_with(event: dict[str, Any]) -> Script:
    """A stream that ends with this event behind the first word."""
    return streams(*EVENTS[:2], b"data: " + json.dumps(event).encode() + b"\n\n")


def uses(usage: Any) -> Script:
    """A sound answer with this usage."""

    async def script(exchange: Exchange) -> None:
        await begin(exchange, CHUNKED)
        told = b"".join([*EVENTS[:-2], chunk({}, None, choices=[], usage=usage), EVENTS[-1]])
        await piece(exchange, told if is_streamed(exchange) else completion("Hello.", usage=usage))
        await exchange.send(b"0\r\n\r\n")

    return script


def cut(body: bytes, size: int) -> Sequence[bytes]:
    """`body` in pieces of this size."""
    return [body[start : start + size] for start in range(0, len(body), size)]


async def in_single_bytes(exchange: Exchange) -> None:
    """A sound answer, every byte by itself, characters cut in two."""
    await begin(exchange, CHUNKED)
    for data in cut(body_for(exchange).replace(b"Hel", "H\u00e9\U0001f600".encode()), 1):
        await piece(exchange, data)
    await exchange.send(b"0\r\n\r\n")


async def as_plain_text(exchange: Exchange) -> None:
    """A sound answer, called something else."""
    await exchange.answer(body_for(exchange), "200 OK", "content-type: text/plain")


async def without_a_type(exchange: Exchange) -> None:
    """A sound answer, called nothing."""
    await exchange.answer(body_for(exchange))


async def with_odd_headers(exchange: Exchange) -> None:
    """A sound answer, with headers that are nobody's business."""
    await begin(exchange, *ODD_HEADERS, f"content-length: {len(body_for(exchange))}")
    await exchange.send(body_for(exchange))


async def pads(exchange: Exchange) -> None:
    """Half of a sound answer, and then something that is none."""
    await begin(exchange, CHUNKED)
    await piece(exchange, half_for(exchange) + b"\0" * 100)
    await exchange.send(b"0\r\n\r\n")
