"""One connection to the Runtime API: of HTTP/1.1's client side what is needed there, and no more.

The answer is read from the moment that its request begins, because it may come before the request has ended. Requests
follow each other; the connection stays open between them until either side ends it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

RUNTIME: Final = "/2018-06-01/runtime"
INVOCATION: Final = f"{RUNTIME}/invocation"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """Without it there is `OSError`, or `EOFError` from an answer that breaks off."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    @classmethod
    async def open(cls, api: str) -> Self:
        """Connect to `api`, host:port."""
        host, _, port = api.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        return cls(reader, writer, api)

    def request(self, method: str, path: str, headers: str = "", body: bytes = b"") -> asyncio.Task[Answer]:
        """Send a request, or what there is of it, in one piece; its answer is to come."""
        self.write_request(method, path, headers, body)
        return asyncio.get_running_loop().create_task(_read_answer(self._reader))

    def write_request(self, method: str, path: str, headers: str = "", body: bytes = b"") -> None:
        """Send one whose answer nobody waits for."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{headers}\r\n"
        self._writer.write(head.encode() + body)

    def write(self, data: bytes) -> None:
        """Send more of the body."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait while the platform takes no more."""
        await self._writer.drain()

    def abort(self) -> None:
        """End the connection at once; whoever waits in `drain` wakes."""
        self._writer.transport.abort()

    def is_aborted(self) -> bool:
        """Whether another connection is needed."""
        return self._writer.is_closing()


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    fields = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    if headers.get("transfer-encoding") == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(int(status_line.split()[1]), headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """The platform's server is Go's: events above 2 KB come in chunks, without extensions or trailers."""
    chunks = []
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        chunks.append((await reader.readexactly(size + 2))[:-2])
        if not size:
            return b"".join(chunks)
