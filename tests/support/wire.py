"""HTTP/1.1 by hand: what a client may put on the wire, right or wrong, and what comes back."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; header names in lower case, in their order."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that is there once or not at all."""
        values = [value for each, value in self.headers if each == name]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """The error in its envelope."""
        return self.json["error"]


class Wire:
    """One connection. Whatever is waited for has to come within `PATIENCE_S`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *parts: bytes) -> None:
        """Put these bytes on the wire; whether anybody still reads them shows in the answer."""
        self._writer.write(b"".join(parts))
        with suppress(ConnectionError):
            await self._writer.drain()

    async def answer(self, *, to_head: bool = False) -> Answer:
        """The next answer; one to HEAD has no body, whatever its length."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n")
            status_line, *lines = head.split("\r\n")
            fields = [line.partition(":") for line in lines]
            headers = tuple((name.lower(), value.strip(" ")) for name, _, value in fields)
            status = int(status_line.split(" ")[1])
            bodiless = to_head or status in {100, 204}
            return Answer(status, headers, b"" if bodiless else await self._body(dict(headers)))

    async def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.read()
        pieces = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            pieces.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readexactly(2)
        return b"".join(pieces)

    async def read_until(self, text: bytes) -> None:
        """Read as far as this text."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reader.readuntil(text)

    def reset(self) -> None:
        """Break the connection off."""
        connection: socket.socket = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def is_closed(self) -> bool:
        """Wait for the server's end of the connection; False where it has something more to say."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return not await self._reader.read(1)
            except ConnectionError:
                return True


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Wire]:
    """A connection to the server at `url`, closed at the end."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def request(method: str, target: str, *lines: str | bytes, body: bytes = b"") -> bytes:
    """A request with these header lines after its host; a body brings its length."""
    head = [f"{method} {target} HTTP/1.1", "host: gateway", *lines]
    if body:
        head.append(f"content-length: {len(body)}")
    raw = [line if isinstance(line, bytes) else line.encode("latin-1") for line in head]
    return b"\r\n".join([*raw, b"", body])
