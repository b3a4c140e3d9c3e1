"""One HTTP/1.1 connection to a provider, one exchange at a time; llhttp (by httptools) reads what comes.

The rules it keeps:

- What has arrived together is read together: a read returns all there is, never waits for more.
- Nothing unread grows beyond `_HIGH_WATER`: the socket is paused until somebody reads.
- A time-out is one timer for each exchange, not for each read; it is off while nobody waits. What trickles in makes
  neither the head's time longer nor that of the whole answer.
- A connection is used again only after an answer that was whole, whose end is certain and behind which nothing came,
  to a request that was sent in full.

Framing: RFC 9112. A body that is ended by the connection's end alone (section 6.3, rule 8) is whole when that is clean.
"""

import asyncio
from collections.abc import Hashable
from typing import Final, cast

import httptools

from common.model.errors import UpstreamBroken, UpstreamError, UpstreamTimeout

_HIGH_WATER: Final = 256 * 1024  # unread bytes, framing included
_MAX_HEAD: Final = 64 * 1024


class Connection(asyncio.Protocol):
    """The `on_` methods are the parser's callbacks."""

    __slots__ = (
        "_chunks",
        "_deadline",
        "_end",
        "_error",
        "_framed",
        "_head_bytes",
        "_idle",
        "_keep_alive",
        "_loop",
        "_parser",
        "_paused",
        "_timer",
        "_transport",
        "_unread",
        "_waiter",
        "complete",
        "headers",
        "idle_since",
        "origin",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, origin: Hashable) -> None:
        """`origin`: whom it leads to, for its pool."""
        self.origin = origin
        self._loop = loop
        self._idle = True
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.idle_since = 0.0
        self.complete = False
        self._deadline: float | None = None
        self._error: UpstreamError | None = None

    # -- the exchange

    async def exchange(self, request: bytes, head_s: float, total_s: float) -> None:
        """Send a request; returns when status and headers are in, within `head_s`. The body's time is what is left."""
        self._idle = self.complete = self._framed = self._keep_alive = self._paused = False
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._unread = self._head_bytes = self.status = 0
        self.headers: dict[str, str] = {}
        self._transport.write(request)
        now = self._loop.time()
        self._end = now + total_s
        while not self.status:
            await self._wait(now + head_s)

    async def read(self, idle_s: float) -> bytes:
        """All that has arrived, as soon as there is something; `b""` at the end."""
        while not self._chunks:
            if self.complete:
                return b""
            await self._wait(self._loop.time() + idle_s)
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._unread = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    def finish(self) -> bool:
        """End the exchange; whether the connection can take another."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deadline = None
        reusable = self.complete and self._error is None and self.is_open and self._keep_alive
        # a server that answers before it has read all may take the rest for another request
        reusable = reusable and not self._transport.get_write_buffer_size()
        # the parser holds the connection, and so does an error that was raised: garbage that only a collection ends
        del self._parser
        self._error = None
        self._idle = True
        if reusable:
            self.idle_since = self._loop.time()
        else:
            self.abort()
        return reusable

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._transport.abort()

    @property
    def is_open(self) -> bool:
        """Whether it can still be written to, as far as is known."""
        return not self._transport.is_closing()

    async def _wait(self, deadline: float) -> None:
        """Until something has changed; raises what is wrong with it."""
        if self._error is not None:
            raise self._error
        self._deadline = deadline = min(deadline, self._end)
        if self._timer is None or self._timer.when() > deadline:
            self._arm(deadline)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = self._deadline = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline is None:
            return  # nobody waits; whoever does next arms it again
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
        else:
            self._fail(UpstreamTimeout("The provider did not answer in time."))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: UpstreamError) -> None:
        if self._error is None:
            self._error = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._error)
        self._transport.abort()

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._idle:  # nobody asked: whatever it is, it is no answer to the next request
            self._transport.abort()
            return
        if not self.status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(UpstreamBroken("The provider's answer is not HTTP."))
            return
        if not self.status and self._head_bytes > _MAX_HEAD:
            self._fail(UpstreamBroken("The provider's answer has too many headers."))
        elif self._unread + len(data) > _HIGH_WATER and not self._paused:
            if not self._chunks:  # nobody could read that, and go on reading
                self._fail(UpstreamBroken("The provider's answer is framed without end."))
                return
            self._paused = True
            self._transport.pause_reading()
        self._unread += len(data)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._idle or self.complete:
            return
        if self.status and not self._framed and exc is None:
            self.complete = True
            self._wake()
        else:
            self._fail(UpstreamBroken("The provider's answer broke off."))

    # -- the parser's side

    def on_message_begin(self) -> None:
        """A further answer behind the whole one."""
        if self.complete:
            self._fail(UpstreamBroken("The provider answered twice."))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody asked for."""
        if not self.status:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip(" \t")

    def on_headers_complete(self) -> None:
        """Status and headers are in, unless this is an interim answer (1xx), behind which the real one comes."""
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = {}
            if status < 100:
                self._fail(UpstreamBroken("The provider's answer is not HTTP."))
            return
        self.status = status
        self._framed = "content-length" in self.headers or "transfer-encoding" in self.headers

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.status:
            self.complete = True
            self._keep_alive = (
                self._parser.should_keep_alive()
            )  # knows only now: llhttp starts over behind it
