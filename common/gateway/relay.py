"""The byte pump of a stream: what the provider sends becomes what the client gets, with the least work per piece.

What has arrived together leaves together. The last events and the end of the body are one write.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from common.gateway.delivery import EventStream
from common.gateway.time_limit import TimeLimit
from common.model.errors import ClientLeft, UpstreamBroken, UpstreamError
from common.ports import UpstreamResponse
from common.providers.codec import AnswerStream
from common.providers.continuation import Sent
from common.wire.openai.preamble import has_content

# for what has come already, or comes at once: behind the protocol's own end, and when the client has left
TAIL_S: Final = 0.25
FAILURE_S: Final = 5.0  # for the body of an error: its status has told most of it
MAX_BARREN_BYTES: Final = 8 * 2**20  # in a row without an event: comments, or an event still to end


async def relay(
    response: UpstreamResponse,
    answer: AnswerStream,
    client: EventStream,
    *,
    on_first: Callable[[], None],
    most_tokens: int | None,
    sent: Sent | None = None,
) -> None:
    """Pump until the end. `UpstreamError` where the answer is not whole; what was sound has been sent on by then.

    `on_first` is called before the first content goes out; what comes before it is held back. An output of more than
    `most_tokens` is cut: what a provider gives beyond the maximum that it was told, nobody has money held for. `sent`:
    keeps what goes out before the end, for another answer to go on from.
    """
    begun = False
    held = b""
    barren = 0  # bytes
    while data := await response.read():
        events = answer.feed(data)
        if not begun:
            held = events = held + events
            if has_content(held) or answer.done:
                begun = True
                on_first()
            elif answer.failure is not None:
                raise answer.failure
        if answer.done:
            await client.end(events)
            await _finish(response)
            return
        if most_tokens is not None and answer.exceeds(most_tokens):
            await client.end(events + answer.cut())
            return
        if not (events and begun):
            barren += len(data)
            if barren > MAX_BARREN_BYTES:
                raise UpstreamBroken("The provider sends much, and no events.")
        else:
            barren = 0
            if sent is not None:
                sent.keep(events)
            try:
                await client.write(events)
            except (ClientLeft, asyncio.CancelledError):
                await _hear_out(response, answer)
                raise
        if answer.failure is not None:
            raise answer.failure
    await client.end((b"" if begun else held) + answer.close())


async def _hear_out(response: UpstreamResponse, answer: AnswerStream) -> None:
    """Take note of what had come while a slow client was waited for: it is on the bill, though nobody will see it."""
    with suppress(UpstreamError, TimeoutError), TimeLimit(TAIL_S):
        while data := await response.read():
            answer.feed(data)


async def _finish(response: UpstreamResponse) -> None:
    """Read the end of the body, which follows the last event at once: a connection left before it is lost.

    The client has everything: that it leaves now is nothing to end the call with.
    """
    with suppress(UpstreamError, TimeoutError, asyncio.CancelledError), TimeLimit(TAIL_S):
        while await response.read():
            pass


async def read_whole(response: UpstreamResponse, max_bytes: int) -> bytes:
    """The whole body, if it is not too long: `UpstreamBroken`."""
    pieces: list[bytes] = []
    size = 0
    while piece := await response.read():
        pieces.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise UpstreamBroken("The provider's answer is too long.")
    return b"".join(pieces)


async def read_failure(response: UpstreamResponse, max_bytes: int) -> bytes:
    """The body of an answer that is an error; nothing where it is cut, too long or too slow: its status counts."""
    try:
        with TimeLimit(FAILURE_S):
            return await read_whole(response, max_bytes)
    except (UpstreamError, TimeoutError):
        return b""
