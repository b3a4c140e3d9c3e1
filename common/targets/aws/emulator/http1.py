"""HTTP/1.1 as servers read it, for the emulator's two sides: function URLs and the Runtime API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

Headers = Sequence[tuple[str, str]]

MAX_HEAD: Final = 64 * 1024
_PHRASES: Final = {each.value: each.phrase for each in HTTPStatus}


class BadRequest(Exception):
    """What came is not HTTP/1.1."""


@dataclass(eq=False, slots=True)
class Request:
    """A request whose body is still to be read. Header names are lower-case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    trailers: dict[str, str] = field(default_factory=dict)  # there when the body has been read

    def value(self, name: str) -> str | None:
        """Of a header, the first."""
        return next((value for each, value in self.headers if each == name), None)

    @property
    def is_chunked(self) -> bool:
        """How the body is framed."""
        return (self.value("transfer-encoding") or "").lower() == "chunked"


class Line:
    """One connection, on which requests follow each other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> Request | None:
        """The next request; none where the other side has ended the connection."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise BadRequest("the head breaks off") from None
            return None
        except asyncio.LimitOverrunError:
            raise BadRequest("the head is too long") from None
        request_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        words = request_line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest("not a request line")
        return Request(words[0], words[1], tuple(map(_field, lines)))

    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Its pieces, as they are framed; `EOFError` where it breaks off."""
        if request.is_chunked:
            while size := _size(await self.reader.readuntil(b"\r\n")):
                yield (await self.reader.readexactly(size + 2))[:-2]
            while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                name, value = _field(line.decode("latin-1").rstrip())
                request.trailers[name] = value
        elif left := _length(request):
            while left:
                piece = await self.reader.read(min(left, 65_536))
                if not piece:
                    raise EOFError("the body breaks off")
                left -= len(piece)
                yield piece

    async def whole(self, request: Request) -> bytes:
        """All of its body."""
        return b"".join([piece async for piece in self.body(request)])

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer."""
        self.begin(status, [*headers, ("content-length", str(len(body)))])
        self.writer.write(body)
        await self.writer.drain()

    def begin(self, status: int, headers: Headers) -> None:
        """Send the head of an answer."""
        lines = [
            f"HTTP/1.1 {status} {_PHRASES.get(status, '')}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))

    async def chunk(self, piece: bytes) -> None:
        """Send a piece of an answer whose framing is chunked."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await self.writer.drain()

    def cut(self) -> None:
        """End the connection at once, whatever is still to be said."""
        self.writer.transport.abort()


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise BadRequest("not a header")
    return name.lower(), value.strip()


def _size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise BadRequest("not the size of a chunk") from None


def _length(request: Request) -> int:
    value = request.value("content-length") or "0"
    if not value.isdecimal():
        raise BadRequest("not a length")
    return int(value)


@asynccontextmanager
async def listening(attend: Callable[[Line], Awaitable[None]], host: str, port: int) -> AsyncIterator[int]:
    """Attend to whoever connects; the port. At the end, connections are cut."""
    tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def attended(line: Line) -> None:
        try:
            with suppress(ConnectionError, EOFError, BadRequest):
                await attend(line)
        finally:
            line.writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # not a coroutine: Python 3.11 logs an error for each one that is cancelled
        task = asyncio.get_running_loop().create_task(attended(Line(reader, writer)))
        tasks[task] = writer
        task.add_done_callback(tasks.pop)

    server = await asyncio.start_server(connected, host, port, limit=MAX_HEAD)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        running = list(tasks.items())
        for task, writer in running:
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*(task for task, _ in running), return_exceptions=True)
