"""One request as ASGI sees it, and its response as the platform wants it.

- The request's body is read as the application asks for it. The response is handed over with the first piece of its
  body, and the rest is written as it is made: a slow client slows the application.
- The client's leaving is heard by `request.signal`, which needs the flag `enable_request_signal`; a write that is
  rejected says the same. From then on `send` raises `OSError`, and no wait goes on.
- The platform is asked once to wait (`waitUntil`), until the application and what it left to the background are done.
  It gives them 30 s after the response's end or the client's leaving.

Every JS object here belongs to this request: https://developers.cloudflare.com/workers/observability/errors/ (2026-11).
"""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Final, TypeAlias

import js
from pyodide.ffi import create_proxy, jsnull, to_js
from starlette.types import ASGIApp, Message

from common.adapters.background import TaskBackground
from common.gateway.context import Gone, RequestContext
from common.targets.cloudflare.promises import Js, Waits, forget
from common.targets.cloudflare.scope import scope_of
from common.wire.openai.errors import INTERNAL, envelope

Headers: TypeAlias = list[tuple[bytes, bytes]]

DRAIN_S: Final = 30.0
FAILED: Final = envelope("The gateway failed. Its log tells why.", INTERNAL.type, code=INTERNAL.code)
_NO_BODY: Final = frozenset({101, 103, 204, 205, 304})
_CLIENT_LEFT: Final = 499  # nobody sees it; nginx's number in logs

_log = logging.getLogger("sluice.cloudflare")
_running: set[asyncio.Task[None]] = set()  # a loop alone does not keep its tasks


async def answer(app: ASGIApp, request: Js, execution: Js) -> Js:
    """The platform's `Response` to its `Request`, as soon as its head is known. `execution`: its context object."""
    exchange = Exchange(request)
    done = js.Promise.withResolvers()
    execution.waitUntil(done.promise)
    task = asyncio.get_running_loop().create_task(exchange.run(app, done.resolve))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return await exchange.response


def response_of(status: int, headers: Headers, body: Js) -> Js:
    """A `Response`; `body`: bytes, a stream, or `jsnull`."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    return js.Response.new(body, status=status, headers=js.Headers.new(to_js(pairs)))


def failed() -> Js:
    """The `Response` where there is no application, or it is broken."""
    return response_of(INTERNAL.status, [(b"content-type", b"application/json")], to_js(FAILED))


class SignalGone(Gone):
    """Listens to the request's signal when somebody wants to hear of it."""

    __slots__ = ("_listener", "_signal")

    def __init__(self, signal: Js) -> None:
        """`signal`: null where the platform gives none."""
        super().__init__()
        self._signal = signal
        self._listener: Js = None

    def on_set(self, callback: Callable[[], None]) -> None:
        """See `Gone.on_set`."""
        super().on_set(callback)
        if self._listener is not None or self.is_set() or not self._signal:
            return
        if self._signal.aborted:
            self.set()
            return
        self._listener = create_proxy(self._aborted)
        self._signal.addEventListener("abort", self._listener)

    def _aborted(self, _event: Js) -> None:
        self.set()

    def stop(self) -> None:
        """Listen no longer."""
        if self._listener is not None:
            self._signal.removeEventListener("abort", self._listener)
            self._listener.destroy()
            self._listener = None


class Exchange:
    """`receive` and `send`, and the future of the response."""

    def __init__(self, request: Js) -> None:
        self.response: asyncio.Future[Js] = asyncio.get_running_loop().create_future()
        self.gone = SignalGone(request.signal)
        self._request = request
        self._waits = Waits()
        self._reader: Js = None
        self._unread = bool(request.body)  # null is false
        self._head: tuple[int, Headers] | None = None
        self._writer: Js = None
        self._over = asyncio.Event()

    async def run(self, app: ASGIApp, resolve: Js) -> None:
        """The application, then its background. `resolve` is called when all is done."""
        background = TaskBackground()
        try:
            # in one piece: a header at a time, each crossing costs more than all of this
            headers = json.loads(js.JSON.stringify(js.Array.from_(self._request.headers)))
            scope = scope_of(self._request.method, self._request.url, headers)
            scope["sluice"] = RequestContext(background, self.gone)
            await app(scope, self.receive, self.send)
        except Exception:
            _log.exception("the application failed")
        finally:
            self._finish()
            try:
                await background.drain(DRAIN_S)
            finally:
                self.gone.stop()
                resolve()

    async def receive(self) -> Message:
        """ASGI's: the body piece by piece; then, or where it breaks off, the disconnect."""
        if self._unread:
            return await self._read()
        self.gone.on_set(self._over.set)
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _read(self) -> Message:
        if self._reader is None:
            self._reader = self._request.body.getReader()
            self.gone.on_set(self._waits.give_up)
        is_read, piece = await self._waits.settled(self._reader.read())
        self._unread = is_read and not piece.done
        if not is_read:
            return {"type": "http.disconnect"}
        body = b"" if piece.done else piece.value.to_bytes()
        return {"type": "http.request", "body": body, "more_body": self._unread}

    async def send(self, message: Message) -> None:
        """ASGI's: `OSError` once the client has left."""
        if self.gone.is_set():
            raise ConnectionResetError("the client has left")
        if message["type"] == "http.response.start":
            self._head = (message["status"], list(message.get("headers", ())))
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._writer is None:
            if not more:
                self._respond(self._whole(body))
                return
            stream = js.TransformStream.new()
            self._writer = stream.writable.getWriter()
            self.gone.on_set(self._waits.give_up)
            self._respond(stream.readable)
        if body:
            await self._write(self._writer.write(to_js(body)))
        if not more:
            self._over.set()
            await self._write(self._writer.close())

    async def _write(self, written: Js) -> None:
        is_written, _ = await self._waits.settled(written)
        if not is_written:
            self.gone.set()
            raise ConnectionResetError("the client has left")

    def _whole(self, body: bytes) -> Js:
        self._over.set()
        assert self._head is not None
        return jsnull if self._head[0] in _NO_BODY or not body else to_js(body)

    def _respond(self, body: Js) -> None:
        assert self._head is not None
        if not self.response.done():
            self.response.set_result(response_of(*self._head, body))

    def _finish(self) -> None:
        """What was begun must not look whole, and who waits for a response must get one."""
        if not self.response.done():
            nobody = self.gone.is_set()
            self.response.set_result(response_of(_CLIENT_LEFT, [], jsnull) if nobody else failed())
        elif self._writer is not None and not self._over.is_set() and not self.gone.is_set():
            # an Error: with any other reason, whoever waits for the stream in Python would wait for ever
            forget(self._writer.abort(js.Error.new("the answer broke off")))
        self._over.set()
