"""The contract of `Upstream`, over real sockets against a server that does what each test says: what goes well."""

import asyncio

import pytest

from common.ports import Upstream
from tests.contract.exchanges import CHUNKED, HEAD, LENGTH_6, call, request, says
from tests.support.origin import Exchange, origin

# -- what is sent


async def test_request_arrives(upstream: Upstream) -> None:
    """Method, target, headers and body arrive as given; a repeated header keeps all its values in order."""
    given = (
        ("authorization", "Bearer k"),
        ("x-twice", "1"),
        ("content-type", "application/json"),
        ("x-twice", "2"),
    )
    async with origin(says(LENGTH_6, b"answer")) as server:
        await call(upstream, request(f"{server.url}/v1/chat?a=1&b=%20", *given, body=b'{"a": "\xc3\xa9"}'))
        (exchange,) = server.exchanges
    asked = exchange.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/v1/chat?a=1&b=%20", b'{"a": "\xc3\xa9"}')
    assert asked.values("authorization") == ["Bearer k"]
    assert asked.values("content-type") == ["application/json"]
    assert ", ".join(asked.values("x-twice")) == "1, 2"
    assert asked.values("host") == [server.url.removeprefix("http://")]


async def test_request_without_body(upstream: Upstream) -> None:
    """A request may have no body."""
    async with origin(says(LENGTH_6, b"answer")) as server:
        outcome = await call(upstream, request(server.url, method="GET", body=b""))
        (exchange,) = server.exchanges
    assert (exchange.asked.method, exchange.asked.target, exchange.asked.body) == ("GET", "/", b"")
    assert outcome.body == b"answer"


async def test_large_bodies(upstream: Upstream) -> None:
    """Megabytes pass in both directions."""
    async with origin(lambda exchange: exchange.answer(exchange.asked.body)) as server:
        body = bytes(range(256)) * 12_000
        assert (await call(upstream, request(server.url, body=body))).body == body


async def test_no_compression(upstream: Upstream) -> None:
    """An answer is asked for as it is."""
    async with origin(says(LENGTH_6, b"answer")) as server:
        await call(upstream, request(server.url))
        (exchange,) = server.exchanges
    assert set(exchange.asked.values("accept-encoding")) <= {"identity"}


async def test_no_cookies(upstream: Upstream) -> None:
    """What one answer sets as a cookie is in no later request."""
    async with origin(lambda exchange: exchange.answer(b"ok", "200 OK", "set-cookie: a=1; Path=/")) as server:
        for _ in range(2):
            await call(upstream, request(server.url))
        assert [exchange.asked.values("cookie") for exchange in server.exchanges] == [[], []]


# -- what comes back


@pytest.mark.parametrize("status", [200, 201, 302, 400, 401, 404, 429, 500, 503])
async def test_status(upstream: Upstream, status: int) -> None:
    """Every status is handed on with its body; a redirect is not followed."""
    async with origin(lambda exchange: exchange.answer(b"body", f"{status} So", "location: /next")) as server:
        outcome = await call(upstream, request(server.url))
        assert len(server.exchanges) == 1
    assert (outcome.status, outcome.body, outcome.error) == (status, b"body", None)


async def test_headers(upstream: Upstream) -> None:
    """Response headers are found by lower-case name; of a repeated one there is a value."""
    headers = ("Content-Type: text/event-stream", "X-Request-ID:  abc", "x-twice: 1", "X-Twice: 2")
    async with origin(lambda exchange: exchange.answer(b"ok", "200 OK", *headers)) as server:
        found = (await call(upstream, request(server.url))).headers
    assert (found["content-type"], found["x-request-id"]) == ("text/event-stream", "abc")
    assert set(found["x-twice"].replace(" ", "").split(",")) <= {"1", "2"}


@pytest.mark.parametrize(
    ("parts", "closed"),
    [
        pytest.param((LENGTH_6, b"answer"), False, id="length"),
        pytest.param((LENGTH_6, b"ans", b"wer"), False, id="length, in parts"),
        pytest.param((CHUNKED, b"6\r\nanswer\r\n0\r\n\r\n"), False, id="chunked"),
        pytest.param(
            (CHUNKED, b"3;x=y\r\nans\r\n03\r\nwer\r\n0\r\nx-sum: 1\r\n\r\n"),
            False,
            id="chunked, all it may have",
        ),
        pytest.param((HEAD, b"\r\nanswer"), True, id="until the connection ends"),
        pytest.param((b"HTTP/1.0 200 OK\r\n\r\nanswer",), True, id="HTTP/1.0"),
        pytest.param(
            (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", LENGTH_6, b"answer"), False, id="after a hint"
        ),
    ],
)
@pytest.mark.parametrize("cut", ["at once", "byte by byte"])
async def test_framing(upstream: Upstream, parts: tuple[bytes, ...], closed: bool, cut: str) -> None:  # noqa: FBT001
    """The body is the same however it is framed and in however many pieces it arrives."""

    async def script(exchange: Exchange) -> None:
        answer = b"".join(parts)
        for piece in [answer] if cut == "at once" else [answer[i : i + 1] for i in range(len(answer))]:
            await exchange.send(piece)
            await asyncio.sleep(0)
        if closed:
            exchange.close()

    async with origin(script) as server:
        outcome = await call(upstream, request(server.url))
    assert (outcome.status, outcome.body, outcome.error) == (200, b"answer", None)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(HEAD + b"content-length: 0\r\n\r\n", id="length 0"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="no chunk"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
    ],
)
async def test_empty_answer(upstream: Upstream, head: bytes) -> None:
    """An answer without a body ends at once."""
    async with origin(says(head)) as server:
        outcome = await call(upstream, request(server.url))
    assert (outcome.body, outcome.error) == (b"", None)


async def test_pieces_come_as_they_arrive(upstream: Upstream) -> None:
    """Status and headers are there before the body is, and each piece before the next one is sent."""
    head_is_in, first_is_in = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED)
        await head_is_in.wait()
        await exchange.send(b"3\r\none\r\n")
        await first_is_in.wait()
        await exchange.send(b"3\r\ntwo\r\n0\r\n\r\n")

    async with origin(script) as server, upstream.send(request(server.url)) as response:
        head_is_in.set()
        assert await response.read() == b"one"
        first_is_in.set()
        assert await response.read() == b"two"
        assert await response.read() == b""


async def test_exchanges_are_apart(upstream: Upstream) -> None:
    """Many exchanges at once, and many one after the other, each get their own answer."""
    async with origin(lambda exchange: exchange.answer(exchange.asked.body)) as server:
        for _ in range(3):
            bodies = [str(number).encode() for number in range(20)]
            outcomes = await asyncio.gather(
                *(call(upstream, request(server.url, body=body)) for body in bodies)
            )
            assert [outcome.body for outcome in outcomes] == bodies


async def test_server_closes_between_exchanges(upstream: Upstream) -> None:
    """A connection that the server has closed after an answer spoils no later request."""
    async with origin(says(LENGTH_6, b"answer", then_close=True)) as server:
        for number in range(3):
            assert (await call(upstream, request(server.url))).body == b"answer"
            await server.exchanges[number].left.wait()  # both sides know
            await asyncio.sleep(0)
