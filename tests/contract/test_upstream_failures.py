"""The contract of `Upstream`: what goes wrong, how it is told apart, and what leaving does."""

import asyncio
import socket

import pytest

from common.model.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from common.ports import Timeouts, Upstream
from tests.contract.exchanges import CHUNKED, LENGTH_6, call, request, says
from tests.support.origin import Exchange, origin

HASTY_HEAD = Timeouts(connect_s=10, first_byte_s=0.05, idle_s=10)
HASTY_BODY = Timeouts(connect_s=10, first_byte_s=10, idle_s=0.25)

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
        pytest.param(CHUNKED + b"3\r\nans\r\nwhat\r\n", b"ans", id="broken chunk"),
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
