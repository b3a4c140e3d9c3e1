"""A provider that misbehaves on the wire: each function plays one exchange, in one way in which an upstream goes wrong.

What it misbehaves in is an answer like that of `sound`: a stream, where one was asked for, else one piece. Those that
go on without end do so until the other side leaves. `adversary_framing.py` has those whose HTTP is wrong,
`adversary_words.py` those whose HTTP is right.
"""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tests.support.answers import completion, stream
from tests.support.origin import Exchange

Script = Callable[[Exchange], Awaitable[None]]

WORDS: Final = ("Hel", "lo.")
EVENTS: Final[Sequence[bytes]] = tuple(stream(*WORDS))
WHOLE: Final = completion("".join(WORDS))
CHUNKED: Final = "transfer-encoding: chunked"
FLOOD: Final = 64 * 2**10  # bytes at a time
LINE: Final = 64 * 2**20  # bytes
BOMB: Final = gzip.compress(bytes(LINE))
BUSY: Final = "HTTP/1.1 429 Too Many Requests"
DRIP_S: Final = 0.02


def is_streamed(exchange: Exchange) -> bool:
    """Whether a stream was asked for."""
    return json.loads(exchange.asked.body).get("stream") is True


def body_for(exchange: Exchange) -> bytes:
    """A sound answer."""
    return b"".join(EVENTS) if is_streamed(exchange) else WHOLE


def half_for(exchange: Exchange) -> bytes:
    """The first part of one: the events up to the first word, or half of the one piece."""
    return b"".join(EVENTS[:2]) if is_streamed(exchange) else WHOLE[: len(WHOLE) // 2]


async def begin(exchange: Exchange, *lines: str, status: str = "HTTP/1.1 200 OK") -> None:
    """Send status and headers: the right type, and these lines."""
    kind = "text/event-stream" if is_streamed(exchange) else "application/json"
    await exchange.send("\r\n".join([status, f"content-type: {kind}", *lines, "", ""]).encode())


async def piece(exchange: Exchange, data: bytes) -> None:
    """Send a chunk."""
    await exchange.send(b"%x\r\n%b\r\n" % (len(data), data))


async def sound(exchange: Exchange) -> None:
    """Nothing is wrong."""
    await begin(exchange, CHUNKED)
    await piece(exchange, body_for(exchange))
    await exchange.send(b"0\r\n\r\n")


def first(script: Script) -> Script:
    """Misbehave once, and then never again."""
    scripts = iter([script])

    async def play(exchange: Exchange) -> None:
        await next(scripts, sound)(exchange)

    return play


# -- the connection ends too early


async def resets_before_headers(exchange: Exchange) -> None:
    """It dies when it has read the request."""
    exchange.reset()


async def resets_after_headers(exchange: Exchange) -> None:
    """It dies before the first byte of the body."""
    await begin(exchange, CHUNKED)
    await asyncio.sleep(DRIP_S)  # else the reset overtakes what was sent
    exchange.reset()


async def resets_midway(exchange: Exchange) -> None:
    """It dies between two events."""
    await begin(exchange, CHUNKED)
    await piece(exchange, half_for(exchange))
    await asyncio.sleep(DRIP_S)
    exchange.reset()


async def resets_in_an_event(exchange: Exchange) -> None:
    """It dies within the event that is the next."""
    await begin(exchange, CHUNKED)
    await piece(exchange, half_for(exchange) + EVENTS[2][:20])
    await asyncio.sleep(DRIP_S)
    exchange.reset()


async def closes_before_headers(exchange: Exchange) -> None:
    """It hangs up in the middle of the headers, in good order."""
    await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-")
    exchange.close()


async def closes_midway(exchange: Exchange) -> None:
    """It hangs up between two events, in good order."""
    await begin(exchange, CHUNKED)
    await piece(exchange, half_for(exchange))
    exchange.close()


async def ends_midway(exchange: Exchange) -> None:
    """It says that half of the answer is all of it."""
    await begin(exchange, CHUNKED)
    await piece(exchange, half_for(exchange))
    await exchange.send(b"0\r\n\r\n")


async def ends_without_the_last_chunk(exchange: Exchange) -> None:
    """All of the body is there, but for what says so."""
    await begin(exchange, CHUNKED)
    await piece(exchange, body_for(exchange))
    exchange.close()


async def ends_with_the_connection(exchange: Exchange) -> None:
    """An answer of HTTP/1.0, whose body ends with the connection."""
    await begin(exchange, status="HTTP/1.0 200 OK")
    await exchange.send(body_for(exchange))
    exchange.close()


async def ends_too_early_with_the_connection(exchange: Exchange) -> None:
    """The same, with half of the body: nothing in HTTP tells."""
    await begin(exchange, status="HTTP/1.0 200 OK")
    await exchange.send(half_for(exchange))
    exchange.close()


# -- it takes too long


async def stalls_before_headers(exchange: Exchange) -> None:
    """It says nothing."""
    await exchange.left.wait()


async def stalls_after_headers(exchange: Exchange) -> None:
    """It says nothing behind the headers."""
    await begin(exchange, CHUNKED)
    await exchange.left.wait()


async def stalls_midway(exchange: Exchange) -> None:
    """It says nothing behind the first word."""
    await begin(exchange, CHUNKED)
    await piece(exchange, half_for(exchange))
    await exchange.left.wait()


async def stalls_behind_the_end(exchange: Exchange) -> None:
    """Everything is there, but for the end of the body."""
    await begin(exchange, CHUNKED)
    await piece(exchange, body_for(exchange))
    await exchange.left.wait()


async def fails_and_stalls(exchange: Exchange) -> None:
    """It says that it is busy, and begins to say why."""
    await begin(exchange, CHUNKED, status=BUSY)
    await piece(exchange, b'{"error":')
    await exchange.left.wait()


async def fails_and_closes(exchange: Exchange) -> None:
    """The same, and hangs up."""
    await begin(exchange, CHUNKED, status=BUSY)
    await piece(exchange, b'{"error":')
    exchange.close()


async def dribbles_headers(exchange: Exchange) -> None:
    """One byte of a header at a time, for ever."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nx: ")
    while not exchange.left.is_set():
        await exchange.send(b"x")
        await asyncio.sleep(DRIP_S)


async def trickles(exchange: Exchange) -> None:
    """Something all the time, and no end: words of a stream, or spaces within the one piece."""
    await begin(exchange, CHUNKED)
    await piece(exchange, half_for(exchange))
    while not exchange.left.is_set():
        await asyncio.sleep(DRIP_S)
        await piece(exchange, EVENTS[2] if is_streamed(exchange) else b" ")


async def trickles_comments(exchange: Exchange) -> None:
    """A sign of life all the time, and never an answer."""
    await begin(exchange, CHUNKED)
    while not exchange.left.is_set():
        await piece(exchange, b": OPENROUTER PROCESSING\n\n")
        await asyncio.sleep(DRIP_S)


# -- it sends too much


async def _floods(exchange: Exchange, data: bytes) -> None:
    while not exchange.left.is_set():
        await exchange.send(data)


async def sends_a_long_line(exchange: Exchange) -> None:
    """A line of 64 MB, in a body that is sound but for that."""
    start, end = (b'data: {"choices":["', b'"]}\n\n') if is_streamed(exchange) else (b'{"choices":["', b'"]}')
    await begin(exchange, f"content-length: {len(start) + LINE + len(end)}")
    await exchange.send(start)
    for _ in range(LINE // FLOOD):
        await exchange.send(b"x" * FLOOD)
    await exchange.send(end)


async def fails_endlessly(exchange: Exchange) -> None:
    """It says that it is busy, and why, and why."""
    await begin(exchange, CHUNKED, status=BUSY)
    await _floods(exchange, b"%x\r\n%b\r\n" % (FLOOD, b"x" * FLOOD))


async def sends_endless_headers(exchange: Exchange) -> None:
    """Headers, and more headers."""
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    await _floods(exchange, b"x-header: 0123456789\r\n" * 1_000)


async def sends_a_huge_header(exchange: Exchange) -> None:
    """One header of a megabyte, and a sound answer behind it."""
    await begin(exchange, f"x-huge: {'x' * 2**20}", f"content-length: {len(body_for(exchange))}")
    await exchange.send(body_for(exchange))


async def sends_endless_interim_answers(exchange: Exchange) -> None:
    """103, and again."""
    await _floods(exchange, b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 100)


async def sends_endless_comments(exchange: Exchange) -> None:
    """Comments, or the spaces that JSON may begin with, as many as pass."""
    await begin(exchange, CHUNKED)
    fill = b": %b\n\n" % (b"x" * 500) * 100 if is_streamed(exchange) else b" " * FLOOD
    await _floods(exchange, b"%x\r\n%b\r\n" % (len(fill), fill))


async def sends_a_bomb(exchange: Exchange) -> None:
    """64 MB as 64 KB, compressed though nobody asked for it, and again."""
    await begin(exchange, CHUNKED, "content-encoding: gzip")
    await _floods(exchange, b"%x\r\n%b\r\n" % (len(BOMB), BOMB))


async def compresses(exchange: Exchange) -> None:
    """A sound answer, compressed though nobody asked for it, and nothing more."""
    await begin(exchange, CHUNKED, "content-encoding: gzip")
    await piece(exchange, gzip.compress(body_for(exchange)))
    await exchange.left.wait()
