"""The mock upstream: one process that answers every chat completion at once, a stream in a single write.

A request says in two members of its own, at its front, how many events it wants and how long apart: with pauses, each
event is a write, and says when.

It prints its port and serves until it is terminated.

    python -m benchmarks.upstream
"""

import asyncio
import re
import time
from typing import Final, cast

import httptools
import uvloop

from benchmarks import answers

WANTS: Final = re.compile(rb'"bench_events":(\d+),"bench_pause_ms":(\d+)')
FRONT_BYTES: Final = 200


class Connection(asyncio.Protocol):
    """One client connection; the `on_` methods are the callbacks of httptools."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        """Be ready for the first request."""
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._pieces: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Send nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._url = b""
        self._pieces.clear()

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Answer."""
        wanted = WANTS.search(b"".join(self._pieces), 0, FRONT_BYTES)
        events, pause_ms = map(int, wanted.groups()) if wanted else (0, 0)
        if not self._url.endswith(b"/chat/completions"):
            self._transport.write(answers.NOT_FOUND)
        elif not events:
            self._transport.write(answers.COMPLETION)
        elif not pause_ms:
            self._transport.write(answers.stream(events))
        else:
            self._transport.write(answers.STREAM_HEAD)
            self._trickle(events, events, pause_ms / 1000)

    def _trickle(self, left: int, events: int, pause_s: float) -> None:
        """One event now, the others later."""
        if left == 1:
            self._transport.write(answers.stream_end(events))
            return
        self._transport.write(answers.stamped(time.perf_counter_ns()))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(pause_s, self._trickle, left - 1, events, pause_s)


async def serve() -> None:
    """Listen on a free port of the loopback, print it, and answer for ever."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
