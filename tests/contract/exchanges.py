"""What the two halves of `Upstream`'s contract share: requests, answers and a call from beginning to end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from common.model.errors import UpstreamError
from common.ports import Timeouts, Upstream, UpstreamRequest
from tests.support.origin import Exchange

PATIENT: Final = Timeouts(connect_s=10, first_byte_s=10, idle_s=10)

HEAD: Final = b"HTTP/1.1 200 OK\r\n"
LENGTH_6: Final = HEAD + b"content-length: 6\r\n\r\n"
CHUNKED: Final = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def request(
    url: str,
    *headers: tuple[str, str],
    method: str = "POST",
    body: bytes = b"{}",
    timeouts: Timeouts = PATIENT,
) -> UpstreamRequest:
    """A request as a provider codec would build it."""
    return UpstreamRequest(method, url, headers, body, timeouts)


@dataclass(slots=True)
class Outcome:
    """How an exchange went; `error` is what the caller had to catch."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: type[UpstreamError] | None = None


async def call(upstream: Upstream, asked: UpstreamRequest) -> Outcome:
    """Read an answer to its end."""
    outcome = Outcome()
    try:
        async with upstream.send(asked) as response:
            outcome.status, outcome.headers = response.status, dict(response.headers)
            while piece := await response.read():
                outcome.body += piece
    except UpstreamError as error:
        outcome.error = type(error)
    return outcome


def says(*parts: bytes, then_close: bool = False) -> Callable[[Exchange], Awaitable[None]]:
    """A script that sends the same whatever it is asked."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(*parts)
        if then_close:
            exchange.close()

    return script
