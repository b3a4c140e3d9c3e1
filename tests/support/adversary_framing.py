"""A provider whose answers have no certain beginning or end: scripts as in `adversary.py`."""

import asyncio

from tests.support.adversary import CHUNKED, DRIP_S, Script, begin, body_for, sound
from tests.support.answers import completion
from tests.support.origin import Exchange


def framed(*lines: str, then: bytes | None = None) -> Script:
    """An answer whose body, `then` or a sound one, does not fit these lines; the connection ends behind it."""

    async def script(exchange: Exchange) -> None:
        await begin(exchange, *lines)
        await exchange.send(body_for(exchange) if then is None else then)
        await asyncio.sleep(DRIP_S)
        exchange.close()

    return script


length_too_long = framed("content-length: 100000")
length_too_short = framed("content-length: 100")
two_lengths = framed("content-length: 100", "content-length: 200")
length_and_chunks = framed("content-length: 3", CHUNKED, then=b"3\r\nans\r\n0\r\n\r\n")
chunk_size_overflow = framed(CHUNKED, then=b"f" * 17 + b"\r\nanswer")
chunk_size_garbage = framed(CHUNKED, then=b"zz\r\nanswer\r\n0\r\n\r\n")
unknown_coding = framed("transfer-encoding: gzip")


async def speaks_something_else(exchange: Exchange) -> None:
    """No HTTP at all."""
    await exchange.send(b"220 smtp.example.com ESMTP\r\n")


async def switches_protocols(exchange: Exchange) -> None:
    """101, which nobody asked for."""
    await exchange.send(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x81\x00"
    )


async def answers_twice(exchange: Exchange) -> None:
    """A sound answer, and an answer to nothing at once behind it."""
    await sound(exchange)
    await exchange.answer(completion("Poison."))


async def answers_unasked(exchange: Exchange) -> None:
    """A sound answer, and later an answer to nothing."""
    await sound(exchange)
    await asyncio.sleep(DRIP_S)
    await exchange.answer(completion("Poison."))
