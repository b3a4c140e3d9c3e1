"""The emulator's own HTTP: what is none is told, not guessed at, and a body is read as it is framed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.targets.aws.emulator.http1 import BadRequest, Line


@asynccontextmanager
async def receiving(data: bytes, *, limit: int = 2**16) -> AsyncIterator[Line]:
    """The server's side of a connection on which `data` comes, and then nothing more."""
    arrived: asyncio.Future[Line] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set_result(Line(reader, writer))

    async with await asyncio.start_server(accept, "127.0.0.1", 0, limit=limit) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(data)
        writer.write_eof()
        connection = await arrived
        try:
            yield connection
        finally:
            connection.cut()
            writer.close()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"GET / HTTP/1.1\r\nhost: a", "breaks off"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 2_000 + b"\r\n\r\n", "too long"),
        (b"GET /\r\n\r\n", "request line"),
        (b"GET / a HTTP/1.1\r\n\r\n", "request line"),
        (b"GET / HTTP/2\r\n\r\n", "request line"),
        (b"GET / HTTP/1.1\r\nhost\r\n\r\n", "header"),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", "header"),
        (b"GET / HTTP/1.1\r\nhost : a\r\n\r\n", "header"),
        (b"GET / HTTP/1.1\r\n folded: a\r\n\r\n", "header"),
    ],
)
async def test_heads_that_are_none(data: bytes, told: str) -> None:
    """A head that breaks off, is too long or is no HTTP is a bad request, and says why."""
    async with receiving(data, limit=1_000) as connection:
        with pytest.raises(BadRequest, match=told):
            await connection.request()


async def test_end_of_the_connection() -> None:
    """An end between two requests is no failure."""
    async with receiving(b"GET / HTTP/1.1\r\n\r\n") as connection:
        assert await connection.request() is not None
        assert await connection.request() is None


@pytest.mark.parametrize(
    ("framed", "body"),
    [
        (b"content-length: 5\r\n\r\nhello", b"hello"),
        (b"content-length: 0\r\n\r\n", b""),
        (b"\r\n", b""),
        (b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nt: v\r\n\r\n", b"hello"),
    ],
    ids=["by length", "empty", "none", "chunked"],
)
async def test_bodies(framed: bytes, body: bytes) -> None:
    """A body is read by its length or its chunks, to its end and no further; trailers are kept."""
    async with receiving(b"POST / HTTP/1.1\r\n" + framed + b"GET /next HTTP/1.1\r\n\r\n") as connection:
        request = await connection.request()
        assert request is not None
        assert await connection.whole(request) == body
        assert request.trailers == ({"t": "v"} if b"chunked" in framed else {})
        following = await connection.request()
        assert following is not None
        assert following.target == "/next"


@pytest.mark.parametrize(
    ("framed", "error"),
    [
        (b"content-length: 9\r\n\r\nhello", EOFError),
        (b"content-length: five\r\n\r\nhello", BadRequest),
        (b"content-length: -1\r\n\r\nhello", BadRequest),
        (b"transfer-encoding: chunked\r\n\r\nzz\r\nhe\r\n", BadRequest),
        (b"transfer-encoding: chunked\r\n\r\n9\r\nhe\r\n", EOFError),
        (b"transfer-encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n", BadRequest),
    ],
)
async def test_bodies_that_are_none(framed: bytes, error: type[Exception]) -> None:
    """A body that breaks off, or is not framed as it says, never looks like a whole one."""
    async with receiving(b"POST / HTTP/1.1\r\n" + framed) as connection:
        request = await connection.request()
        assert request is not None
        with pytest.raises(error):
            await connection.whole(request)
