"""A scripted HTTP/1.1 server on loopback: what a provider does, byte for byte, as the test dictates it.

A script plays one exchange: it gets the request, sends what it likes, and returns. The connection stays open for the
next request, unless the script has closed it.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came over the wire; header names in lower case, in their order."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Of a header, in their order."""
        return [value for header, value in self.headers if header == name]


@dataclass(eq=False, slots=True)
class Exchange:
    """The server's side of one exchange."""

    asked: Asked
    _writer: asyncio.StreamWriter
    connection: int = 0
    """Which one it came on, counted from 1."""
    sent: int = 0
    """Bytes, of this exchange."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The client has closed the connection."""

    async def send(self, *parts: bytes) -> None:
        """Put these bytes on the wire."""
        data = b"".join(parts)
        self._writer.write(data)
        self.sent += len(data)
        await self._writer.drain()

    async def answer(self, body: bytes, status: str = "200 OK", *headers: str) -> None:
        """Send a whole answer."""
        head = "\r\n".join([f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "", ""])
        await self.send(head.encode(), body)

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self._writer.close()

    def reset(self) -> None:
        """Break the connection off, as a process that dies does: what was sent before may be lost with it."""
        connection: socket.socket = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]


@dataclass(slots=True)
class Origin:
    """The server, and what it was asked so far."""

    url: str
    exchanges: list[Exchange] = field(default_factory=list)
    connections: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Something has been asked."""


@asynccontextmanager
async def origin(script: Script) -> AsyncIterator[Origin]:
    """Play `script` to whoever comes. A script that fails fails the test."""
    served = Origin("")
    connections: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        connections.add(asyncio.get_running_loop().create_task(_serve(script, served, reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        outcomes = await asyncio.gather(*connections, return_exceptions=True)
        for writer in writers:  # also one whose task never began, and one that nobody reads what it still has
            writer.transport.abort()
        await asyncio.sleep(0)  # what was just closed lets go of its socket
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome


async def _serve(
    script: Script, served: Origin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection. While a script plays, the next request is waited for: its absence is the client's leaving."""
    loop = asyncio.get_running_loop()
    served.connections += 1
    connection = served.connections
    coming = loop.create_task(_read_request(reader))
    try:
        while asked := await coming:
            exchange = Exchange(asked, writer, connection)
            served.exchanges.append(exchange)
            served.arrived.set()
            coming = loop.create_task(_read_request(reader, exchange.left))
            with suppress(ConnectionError):  # the client has left
                await script(exchange)
    finally:
        coming.cancel()
        writer.close()


async def _read_request(reader: asyncio.StreamReader, left: asyncio.Event | None = None) -> Asked | None:
    """The next request; none where the client leaves instead."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n")
        request_line, *lines = head.split("\r\n")
        method, target, _ = request_line.split(" ")
        fields = (line.partition(":") for line in lines)
        headers = tuple((name.lower(), value.strip()) for name, _, value in fields)
        length = int(dict(headers).get("content-length", 0))
        return Asked(method, target, headers, await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        if left:
            left.set()
        return None
