"""The contract of `Upstream`: what goes wrong, how it is told apart, and what leaving does."""

import asyncio
import socket
from contextlib import suppress

import pytest

from common.model.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from common.ports import Timeouts, Upstream
from tests.contract.exchanges import CHUNKED, HEAD, LENGTH_6, call, request, says
from tests.support.origin import Exchange, origin

HASTY_HEAD = Timeouts(connect_s=10, first_byte_s=0.05, idle_s=10)
HASTY_BODY = Timeouts(connect_s=10, first_byte_s=10, idle_s=0.25)
HASTY_IN_TOTAL = Timeouts(connect_s=10, first_byte_s=10, idle_s=10, total_s=0.1)
BOTH = HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nans\r\n0\r\n\r\n"

# -- what goes wrong


async def test_nobody_listens(upstream: Upstream) -> None:
    """Where no connection comes about, nothing was sent."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        outcome = await call(upstream, request(f"http://127.0.0.1:{reserved.getsockname()[1]}"))
    assert outcome.error is UpstreamUnreachable


@pytest.mark.parametrize("url", ["nowhere", "http://", "http://127.0.0.1:99999/", "ftp://127.0.0.1/"])
async def test_no_address(upstream: Upstream, url: str) -> None:
    """An address that leads nowhere is unreachable, too."""
    assert (await call(upstream, request(url))).error is UpstreamUnreachable


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        pytest.param(b"", b"", id="before the head"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-", b"", id="in the head"),
        pytest.param(LENGTH_6, b"", id="before the body"),
        pytest.param(LENGTH_6 + b"ans", b"ans", id="in the body"),
        pytest.param(CHUNKED + b"3\r\nans\r\n", b"ans", id="between chunks"),
        pytest.param(CHUNKED + b"6\r\nans", b"ans", id="in a chunk"),
        pytest.param(CHUNKED + b"3\r\nans\r\n0\r\n", b"ans", id="before the last line"),
    ],
)
async def test_cut(upstream: Upstream, sent: bytes, body: bytes) -> None:
    """A connection that ends too early never looks like a complete answer; what came before is handed on."""
    async with origin(says(sent, then_close=True)) as server:
        outcome = await call(upstream, request(server.url))
    assert (outcome.error, outcome.body) == (UpstreamBroken, body)


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        pytest.param(b"220 smtp.example.com ESMTP\r\n", b"", id="another protocol"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"", id="TLS"),
        pytest.param(b"HTTP/2 200\r\n\r\n", b"", id="HTTP/2 in words"),
        pytest.param(b"HTTP/1.1 000 Zero\r\n\r\n", b"", id="no status"),
        pytest.param(b"HTTP/1.1 99999 Many\r\n\r\n", b"", id="status of five digits"),
        pytest.param(
            b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\nanswer", b"", id="another protocol from here"
        ),
        pytest.param(HEAD + b"content-length : 6\r\n\r\nanswer", b"", id="space before the colon"),
        pytest.param(HEAD + b"x: a\r\n b\r\ncontent-length: 6\r\n\r\nanswer", b"", id="folded header"),
        pytest.param(HEAD + b"content-length: -6\r\n\r\nanswer", b"", id="negative length"),
        pytest.param(HEAD + b"content-length: " + b"9" * 30 + b"\r\n\r\nanswer", b"", id="length overflow"),
        pytest.param(HEAD + b"content-length: 6\r\ncontent-length: 7\r\n\r\nanswer", b"", id="two lengths"),
        pytest.param(BOTH, b"", id="length and chunks"),
        pytest.param(CHUNKED + b"3\r\nans\r\nwhat\r\n", b"ans", id="broken chunk"),
        pytest.param(CHUNKED + b"3\r\nanswer\r\n0\r\n\r\n", b"ans", id="chunk longer than it says"),
        pytest.param(CHUNKED + b"f" * 17 + b"\r\nans", b"", id="chunk size overflow"),
        pytest.param(CHUNKED + b"-3\r\nans\r\n0\r\n\r\n", b"", id="negative chunk size"),
    ],
)
async def test_not_http(upstream: Upstream, sent: bytes, body: bytes) -> None:
    """An answer that is not HTTP is broken."""
    async with origin(says(sent)) as server:
        outcome = await call(upstream, request(server.url))
    assert outcome.error is UpstreamBroken
    assert body.startswith(outcome.body)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-"], ids=["nothing", "half a head"])
async def test_no_head_in_time(upstream: Upstream, sent: bytes) -> None:
    """Status and headers have to be in within the time for the first byte; the connection is closed then."""
    async with origin(says(sent)) as server:
        outcome = await call(upstream, request(server.url, timeouts=HASTY_HEAD))
        await server.exchanges[0].left.wait()
    assert (outcome.error, outcome.status) == (UpstreamTimeout, 0)


async def test_stall(upstream: Upstream) -> None:
    """A body that stops coming is given up after the idle time, and the connection closed."""
    async with origin(says(LENGTH_6 + b"ans")) as server:
        outcome = await call(upstream, request(server.url, timeouts=HASTY_BODY))
        await server.exchanges[0].left.wait()
    assert (outcome.error, outcome.body) == (UpstreamTimeout, b"ans")


async def test_slow_reader_is_no_stall(upstream: Upstream) -> None:
    """The idle time runs only while somebody reads: a slow client is not a silent upstream."""
    server = origin(says(LENGTH_6 + b"answer"))
    async with server as at, upstream.send(request(at.url, timeouts=HASTY_BODY)) as response:
        await asyncio.sleep(HASTY_BODY.idle_s + 0.05)
        assert await response.read() == b"answer"
        await asyncio.sleep(HASTY_BODY.idle_s + 0.05)
        assert await response.read() == b""


async def dribble(exchange: Exchange, text: bytes) -> None:
    """Send a byte at a time, again and again, never silent for long."""
    while not exchange.left.is_set():
        for byte in text:
            await exchange.send(bytes([byte]))
            await asyncio.sleep(0.01)


async def test_head_in_drips(upstream: Upstream) -> None:
    """The time for the head is one for all of it: it does not begin anew with each byte."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nx: ")
        await dribble(exchange, b"x")

    async with asyncio.timeout(5), origin(script) as server:
        outcome = await call(upstream, request(server.url, timeouts=HASTY_HEAD))
        await server.exchanges[0].left.wait()
    assert (outcome.error, outcome.status) == (UpstreamTimeout, 0)


@pytest.mark.parametrize("head", [b"", CHUNKED], ids=["head", "body"])
async def test_total(upstream: Upstream, head: bytes) -> None:
    """An answer that never stalls and never ends is given up when its time in total is over."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(head or b"HTTP/1.1 200 OK\r\nx: ")
        await dribble(exchange, b"1\r\nx\r\n" if head else b"x")

    async with asyncio.timeout(5), origin(script) as server:
        outcome = await call(upstream, request(server.url, timeouts=HASTY_IN_TOTAL))
        await server.exchanges[0].left.wait()
    assert outcome.error is UpstreamTimeout
    assert bool(outcome.body) == bool(head)


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        pytest.param(HEAD, b"x-header: 0123456789\r\n" * 1000, id="headers"),
        pytest.param(HEAD + b"x: ", b"x" * 65536, id="one header"),
        pytest.param(b"HTTP/1.1 ", b"2" * 65536, id="status line"),
        pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 500, id="interim answers"),
        pytest.param(CHUNKED + b"6;", b"x" * 65536, id="extension of a chunk"),
        pytest.param(CHUNKED + b"3\r\nans\r\n0\r\nx: ", b"x" * 65536, id="trailer"),
    ],
)
async def test_endless_framing(upstream: Upstream, begin: bytes, again: bytes) -> None:
    """Framing that does not end is broken off soon, without being waited for, and the connection closed."""
    sent = 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(begin)
        while not exchange.left.is_set():
            await exchange.send(again)
            sent += len(again)

    async with asyncio.timeout(5), origin(script) as server:
        outcome = await call(upstream, request(server.url))
        await server.exchanges[0].left.wait()
    assert outcome.error is UpstreamBroken
    assert sent < 32 * 2**20  # most of it fills the sockets


async def test_answer_that_nobody_asked_for(upstream: Upstream) -> None:
    """What a server sends between exchanges is not the answer to the next request."""
    poison = LENGTH_6 + b"poison"

    async def script(exchange: Exchange) -> None:
        await exchange.send(LENGTH_6, b"answer")
        await asyncio.sleep(0.01)
        await exchange.send(poison)

    async with origin(script) as server:
        for number in range(3):
            assert (await call(upstream, request(server.url))).body == b"answer"
            await server.exchanges[number].left.wait()


async def test_answer_before_the_request_is_sent(upstream: Upstream) -> None:
    """What of a request was not sent when its answer was there is not taken for another: its connection is closed."""
    connections = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(LENGTH_6 + b"answer")
        with suppress(ConnectionError):
            await writer.drain()
        await closing.wait()
        writer.close()

    closing = asyncio.Event()
    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for _ in range(2):
            outcome = await call(upstream, request(url, body=bytes(32 * 2**20)))
            assert (outcome.body, outcome.error) == (b"answer", None)
        closing.set()
    assert connections == 2


async def test_two_answers_to_one_request(upstream: Upstream) -> None:
    """A second answer behind the first is no answer to the next request: every one gets its own, or none."""
    async with origin(says(LENGTH_6 + b"answer" + LENGTH_6 + b"poison")) as server:
        for _ in range(3):
            outcome = await call(upstream, request(server.url))
            assert (outcome.body, outcome.error) in {(b"answer", None), (b"", UpstreamBroken)}


# -- leaving


async def endless(exchange: Exchange) -> None:
    """Begin an answer that does not end."""
    await exchange.send(CHUNKED, b"4\r\npart\r\n")


async def test_leaving_early(upstream: Upstream) -> None:
    """Leaving before the end closes the connection: the provider can stop."""
    async with origin(endless) as server:
        async with upstream.send(request(server.url)) as response:
            await response.read()
        await server.exchanges[0].left.wait()


async def test_leaving_by_an_error(upstream: Upstream) -> None:
    """The caller's own failure closes the connection and comes out as it is."""
    async with origin(endless) as server:
        with pytest.raises(LookupError):
            async with upstream.send(request(server.url)):
                raise LookupError
        await server.exchanges[0].left.wait()


@pytest.mark.parametrize(
    "sends", [b"", CHUNKED, CHUNKED + b"4\r\npart\r\n"], ids=["no head", "no body", "no more"]
)
async def test_cancelled(upstream: Upstream, sends: bytes) -> None:
    """Cancelling whoever waits, for the head or in a read, closes the connection."""
    asked = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(sends)
        asked.set()

    async with origin(script) as server:
        task = asyncio.create_task(call(upstream, request(server.url)))
        await asked.wait()
        task.cancel()
        await asyncio.wait([task])
        await server.exchanges[0].left.wait()
    assert task.cancelled()


async def test_usable_afterwards(upstream: Upstream) -> None:
    """An exchange that was left, cut or refused spoils no later one."""

    async def script(exchange: Exchange) -> None:
        match exchange.asked.target:
            case "/endless":
                await endless(exchange)
            case "/cut":
                await exchange.send(LENGTH_6, b"ans")
                exchange.close()
            case _:
                await exchange.answer(b"answer")

    async with origin(script) as server:
        for path in ("/endless", "/", "/cut", "/"):
            async with upstream.send(request(server.url + path)) as response:
                first = await response.read()
        assert first == b"answer"
