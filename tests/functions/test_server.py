"""The local server over raw sockets: what is framed in two ways, too large or too slow is never answered as a request.

What it must do is RFC 9112's: sections 2.2 (line ends), 3.2 (Host), 5.2 (folded lines), 6.1 to 6.3 (lengths), 7.1
(chunks), 9.3 (connections that persist).
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import pytest

from common.adapters.background import TaskBackground
from common.targets.local_server import LocalServer
from tests.support.scripted import CHAT, REQUEST, ScriptedGateway, scripted
from tests.support.wire import Wire, connected, request

BODY: Final = json.dumps(dict(REQUEST)).encode()
CHUNKED: Final = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED: Final = b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n"


@asynccontextmanager
async def on_a_wire() -> AsyncIterator[tuple[ScriptedGateway, Wire]]:
    """A gateway, and a connection to it."""
    async with scripted() as gateway, connected(gateway.url) as wire:
        yield gateway, wire


def post(gateway: ScriptedGateway, *lines: str | bytes) -> bytes:
    """The head of a completion whose framing is in these lines."""
    return request("POST", CHAT, gateway.bearer, *lines)


# -- framing -----------------------------------------------------------------------------------------------------------

REFUSED: Final[dict[str, tuple[tuple[str | bytes, ...], bytes]]] = {
    "two lengths": ((f"content-length: {len(BODY)}", f"content-length: {len(BODY) + 5}"), BODY),
    "two lengths in one": ((f"content-length: {len(BODY)}, {len(BODY)}",), BODY),
    "signed length": ((f"content-length: +{len(BODY)}",), BODY),
    "negative length": (("content-length: -5",), BODY),
    "length in hexadecimal": (("content-length: 0x10",), BODY),
    "space before the colon": ((f"content-length : {len(BODY)}",), BODY),
    "folded line": (("x-note: a", " b", f"content-length: {len(BODY)}"), BODY),
    "folded transfer coding": (("transfer-encoding:", " chunked"), CHUNKED),
    "unknown transfer coding": (("transfer-encoding: xchunked",), CHUNKED),
    "identity and a length": (("transfer-encoding: identity", f"content-length: {len(BODY)}"), BODY),
    "chunked is not the last": (("transfer-encoding: chunked, gzip",), CHUNKED),
    "bare CR": ((b"x-note: a\rcontent-length: 0",), b""),
    "NUL": ((b"x-note: a\x00b",), b""),
    "escape": ((b"x-request-id: a\x1b[31m",), b""),
    "name that is none": ((b"x note: a",), b""),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_ambiguous_framing(name: str) -> None:
    """What two readers could take differently is a 400, and the connection is closed: nothing behind it is read."""
    lines, body = REFUSED[name]
    async with on_a_wire() as (gateway, wire):
        await wire.send(post(gateway, *lines), body, SMUGGLED)
        assert (await wire.answer()).status == 400
        assert await wire.is_closed()
        assert gateway.provider.exchanges == []


@pytest.mark.parametrize("length_first", [True, False])
async def test_length_and_chunks(*, length_first: bool) -> None:
    """A body with a length and in chunks is read by its chunks, once, and the connection is closed behind it."""
    lines = ["content-length: 6", "transfer-encoding: chunked"]
    async with on_a_wire() as (gateway, wire):
        await wire.send(post(gateway, *(lines if length_first else lines[::-1])), CHUNKED, SMUGGLED)
        answer = await wire.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert await wire.is_closed()
        [exchange] = gateway.provider.exchanges
        assert exchange.asked.body == BODY.replace(b'"hello"', b'"upstream-hello"')


async def test_same_length_twice() -> None:
    """The same length said twice is one length."""
    async with on_a_wire() as (gateway, wire):
        line = f"content-length: {len(BODY)}"
        await wire.send(post(gateway, line, line), BODY)
        assert (await wire.answer()).status == 200


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"1\r\n{}\r\n0\r\n\r\n",
        b"-1\r\n{}\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        b"2\n{}\n0\n\n",
    ],
    ids=["no size", "size too small", "negative", "overflow", "bare LF"],
)
async def test_broken_chunks(chunks: bytes) -> None:
    """A chunk that is none ends the request: 400, and nothing behind it is read."""
    async with on_a_wire() as (gateway, wire):
        await wire.send(post(gateway, "transfer-encoding: chunked"), chunks, SMUGGLED)
        answer = await wire.answer()
        assert (answer.status, answer.error["code"]) == (400, "incomplete_body")
        assert await wire.is_closed()
        assert gateway.provider.exchanges == []


async def test_trailers() -> None:
    """What stands behind the last chunk is no header: neither a key nor a length comes in by it."""
    trailers = b"%b0\r\nauthorization: Bearer x\r\ncontent-length: 3\r\n\r\n" % CHUNKED[:-5]
    async with on_a_wire() as (gateway, wire):
        await wire.send(post(gateway, "transfer-encoding: chunked"), trailers, SMUGGLED)
        assert (await wire.answer()).status == 200
        assert (await wire.answer()).status == 401


async def test_bare_line_feeds() -> None:
    """A bare LF ends a line, as the RFC allows: the same request, read in one way."""
    async with on_a_wire() as (_, wire):
        await wire.send(b"GET /health HTTP/1.1\nhost: gateway\nx-request-id: a\n\n", SMUGGLED)
        answer = await wire.answer()
        assert (answer.status, answer.header("x-client-request-id")) == (200, "a")
        assert (await wire.answer()).status == 401


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /health HTTP/9.9\r\nhost: x\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET  /health HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    ],
    ids=["version", "no request line", "two spaces", "path that is not ASCII", "space in the path", "TLS"],
)
async def test_no_http(raw: bytes) -> None:
    """What is no HTTP/1.1 is a 400 and the end of the connection."""
    async with on_a_wire() as (_, wire):
        await wire.send(raw)
        assert (await wire.answer()).status == 400
        assert await wire.is_closed()


async def test_other_protocols() -> None:
    """HTTP/2 without TLS and websockets are not spoken; the wish for one changes nothing about a request."""
    async with scripted() as gateway:
        async with connected(gateway.url) as wire:
            await wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert await wire.is_closed()
        upgrade = ("connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13")
        answer = await gateway.send("GET", "/health", *upgrade, "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==")
    assert (answer.status, answer.header("upgrade")) == (200, None)


# -- connections -------------------------------------------------------------------------------------------------------


async def test_keep_alive() -> None:
    """A connection serves one request after the other: answers, refusals and those whose body nobody read."""
    async with on_a_wire() as (gateway, wire):
        wrong = request("POST", CHAT, "authorization: Bearer x", body=BODY)
        right = request("POST", CHAT, gateway.bearer, body=BODY)
        health = request("GET", "/health")
        for each, status in (
            (right, 200),
            (wrong, 401),
            (right, 200),
            (health, 200),
            (wrong, 401),
            (right, 200),
        ):
            await wire.send(each)
            answer = await wire.answer()
            assert (answer.status, answer.header("connection")) == (status, None)


async def test_pipelining() -> None:
    """Requests that come together are answered in their order."""
    async with on_a_wire() as (gateway, wire):
        right = request("POST", CHAT, gateway.bearer, "x-request-id: one", body=BODY)
        await wire.send(right, request("GET", "/health", "x-request-id: two"), right)
        answers = [await wire.answer() for _ in range(3)]
    assert [answer.header("x-client-request-id") for answer in answers] == ["one", "two", "one"]


async def test_closing() -> None:
    """Who wants the connection closed gets it closed; an HTTP/1.0 client too."""
    async with scripted() as gateway:
        for raw in (request("GET", "/health", "connection: close"), b"GET /health HTTP/1.0\r\n\r\n"):
            async with connected(gateway.url) as wire:
                await wire.send(raw)
                assert (await wire.answer()).status == 200
                assert await wire.is_closed()


async def test_expecting_to_continue() -> None:
    """A client that waits for leave to send its body gets it, once its key is known to be right."""
    async with on_a_wire() as (gateway, wire):
        lines = (f"content-length: {len(BODY)}", "expect: 100-continue")
        await wire.send(post(gateway, *lines))
        assert (await wire.answer()).status == 100
        await wire.send(BODY)
        assert (await wire.answer()).status == 200
    async with on_a_wire() as (_, wire):
        await wire.send(request("POST", CHAT, "authorization: Bearer x", *lines))
        assert (await wire.answer()).status == 401


# -- bounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((f"x-long: {'x' * 60_000}",), 200),
        ((f"x-long: {'x' * 300_000}",), 431),
        (tuple(f"x-{number}: a" for number in range(98)), 200),
        (tuple(f"x-{number}: a" for number in range(101)), 431),
    ],
    ids=["long", "too long", "many", "too many"],
)
async def test_size_of_headers(lines: tuple[str, ...], status: int) -> None:
    """Headers may be long and many, but not without bound; then the connection is closed."""
    async with on_a_wire() as (_, wire):
        await wire.send(request("GET", "/health", *lines))
        assert (await wire.answer()).status == status
        if status != 200:
            assert await wire.is_closed()


async def test_endless_header() -> None:
    """A header that never ends is not kept: the connection is closed long before it fills the memory."""
    async with on_a_wire() as (_, wire):
        await wire.send(b"GET /health HTTP/1.1\r\nx-endless: ")
        for _ in range(64):
            await wire.send(b"x" * 65_536)
        with suppress(ConnectionError):  # the answer is lost where more comes in behind it
            assert (await wire.answer()).status == 431
        assert await wire.is_closed()


async def test_long_path() -> None:
    """A path that is too long is a 414."""
    async with on_a_wire() as (_, wire):
        await wire.send(request("GET", "/" + "x" * 70_000))
        assert (await wire.answer()).status == 414


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nhost: gateway\r\nx-"],
    ids=["nothing", "half a line", "half a header"],
)
async def test_slow_headers(begun: bytes) -> None:
    """A connection on which no whole head comes in time is closed, and others are served meanwhile."""
    async with scripted() as gateway:
        server = LocalServer(gateway.held.app(), TaskBackground(), "127.0.0.1", 0, headers_ms=200)
        listening = asyncio.Event()

        async def on_listening() -> None:
            listening.set()

        serving = asyncio.create_task(server.serve(on_listening))
        await listening.wait()
        url = f"http://127.0.0.1:{server.port}"
        async with connected(url) as slow, connected(url) as other:
            await slow.send(begun)
            await other.send(request("GET", "/health"))
            assert (await other.answer()).status == 200
            assert await slow.is_closed()
        server.stop()
        await serving
