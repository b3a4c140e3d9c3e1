"""The mock upstream: one process that answers every chat completion at once, a stream in a single write.

It prints its port and serves until it is terminated.

    python -m benchmarks.upstream
"""

import asyncio
import re
from typing import Final, cast

import httptools
import uvloop

from benchmarks import answers

WANTS_STREAM: Final = re.compile(rb'"stream":\s*true')


class Connection(asyncio.Protocol):
    """One client connection; the `on_` methods are the callbacks of httptools."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        """Be ready for the first request."""
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        if not self._url.endswith(b"/chat/completions"):
            self._transport.write(answers.NOT_FOUND)
        elif WANTS_STREAM.search(self._body):
            self._transport.write(answers.STREAM)
        else:
            self._transport.write(answers.COMPLETION)


async def serve() -> None:
    """Listen on a free port of the loopback, print it, and answer for ever."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
