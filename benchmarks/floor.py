"""The floor: the least a gateway in Python over uvicorn can do.

A raw ASGI application that passes each body on over hand-held connections, and each chunk of the answer back.
It looks at nothing it passes: no key, no JSON, no error handling. A stream costs it one ASGI message per
chunk; a gateway that hands on several chunks at once may be cheaper.

    python -m benchmarks.floor --port N --upstream N
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LENGTH: Final = b"content-length: "


class Upstream:
    """Connections to the mock upstream, kept open: the last one returned is the next one used."""

    def __init__(self, port: int) -> None:
        """Connect when first asked."""
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def acquire(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that nobody else uses until it is released."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not writer.is_closing():
                return reader, writer
        return await asyncio.open_connection("127.0.0.1", self._port)

    def release(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand a connection back, its answer read to the end."""
        self._idle.append((reader, writer))


class Floor:
    """The ASGI application."""

    def __init__(self, upstream_port: int) -> None:
        """Pass everything on to the upstream at this port."""
        self._upstream = Upstream(upstream_port)

    async def __call__(self, _scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = await read_body(receive)
        reader, writer = await self._upstream.acquire()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: mock\r\ncontent-type: application/json\r\n"
        writer.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))
        answer = await reader.readuntil(b"\r\n\r\n")
        if LENGTH in answer:
            await pass_whole(reader, answer.split(LENGTH)[1].split(b"\r\n")[0], send)
        else:
            await pass_chunks(reader, send)
        self._upstream.release(reader, writer)


async def read_body(receive: Receive) -> bytes:
    """The whole body of the request."""
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def pass_whole(reader: asyncio.StreamReader, length: bytes, send: Send) -> None:
    """Hand on an answer of known length."""
    body = await reader.readexactly(int(length))
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def pass_chunks(reader: asyncio.StreamReader, send: Send) -> None:
    """Hand on a stream, chunk by chunk."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while size := int(await reader.readline(), 16):
        frame = await reader.readexactly(size + 2)
        await send({"type": "http.response.body", "body": frame[:-2], "more_body": True})
    await reader.readline()
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    """Serve until terminated."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--upstream", type=int, required=True)
    chosen = arguments.parse_args()
    uvicorn.run(
        Floor(chosen.upstream),
        port=chosen.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    main()
