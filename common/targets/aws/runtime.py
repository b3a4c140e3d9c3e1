"""Lambda's Runtime API as a streaming ASGI server: `python -m common.targets.aws.runtime`.

Ask for an invocation, let the application answer it, finish the work it left behind, ask for the next. The rules:

- The answer begins with the first bytes of its body, never with the status alone: until then a failure is still a 500.
- The client has everything when the body has ended; the invocation ends, and the process may freeze, only when the
  next one is asked for. What runs in between is billed, but the client does not wait for it.
- The client's leaving cannot be seen here. An answer to a body that has not ended yet (410: too late, 413: too large)
  means that nobody takes the rest: `gone` is set and `send` raises `OSError`.
- Where no invocation can be had, nothing mends that from inside: the process ends, and Lambda starts another.

Protocol: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and, for the streamed response,
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html (November 2026).
"""

import asyncio
import base64
import importlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.gateway.context import Gone, RequestContext
from common.ports import Clock
from common.targets.aws.connection import Answer, Connection
from common.targets.aws.scope import body_of, is_http, prelude_of, scope_of
from common.wire.openai.errors import INTERNAL, envelope

Event = Mapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_ERROR: Final = "Lambda-Runtime-Function-Error-"
_STREAMED: Final = (
    "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    "Content-Type: application/vnd.awslambda.http-integration-response\r\n"
    "Transfer-Encoding: chunked\r\n"
    f"Trailer: {_ERROR}Type\r\n"
    f"Trailer: {_ERROR}Body\r\n"
)
_TAKEN: Final = 202
_DRAIN_MARGIN_S: Final = 0.5  # kept free before the deadline: frozen work can go on, killed work cannot
_FAILED_HEADERS: Final = ((b"content-type", b"application/json"),)
_FAILED_BODY: Final = envelope("The gateway failed. Its log tells why.", INTERNAL.type, code=INTERNAL.code)

_log = logging.getLogger("sluice.aws")


@dataclass(frozen=True, slots=True)
class Invocation:
    """What `/next` hands out. `guard` is the header line that ties the response to it, where the platform asks."""

    id: str
    deadline_ms: int
    guard: str
    event: Event


class Exchange:
    """One call as ASGI sees it: `receive` and `send`; and `finish`, for what the application left undone."""

    def __init__(self, connection: Connection, invocation: Invocation) -> None:
        self.gone = Gone()
        self.over = asyncio.Event()
        self._connection = connection
        self._invocation = invocation
        self._received = False
        self._prelude = b""
        self._answer: asyncio.Task[Answer] | None = None

    async def receive(self) -> Message:
        """ASGI's: the body at once; when the response is over, the disconnect."""
        if self._received:
            await self.over.wait()
            return {"type": "http.disconnect"}
        self._received = True
        return {"type": "http.request", "body": body_of(self._invocation.event), "more_body": False}

    async def send(self, message: Message) -> None:
        """ASGI's: `OSError` once the response is over, whoever ended it."""
        if self.over.is_set():
            raise ConnectionResetError("the response is over")
        if message["type"] == "http.response.start":
            self._prelude = prelude_of(message["status"], message.get("headers", ()))
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if body or not more:
            body, self._prelude = self._prelude + body, b""
            await self._write(body, last=not more)

    async def _write(self, data: bytes, *, last: bool) -> None:
        frames = (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + (b"0\r\n\r\n" if last else b"")
        if last:
            self.over.set()
        try:
            if self._answer is None:
                path, headers = f"/{self._invocation.id}/response", _STREAMED + self._invocation.guard
                self._answer = self._connection.request("POST", path, headers, frames)
                self._answer.add_done_callback(self._answered)
            else:
                self._connection.write(frames)
            await self._connection.drain()
        except OSError:
            self._stop()
            raise
        if self.gone.is_set():
            raise ConnectionResetError("the platform takes no more")

    def _answered(self, answer: asyncio.Task[Answer]) -> None:
        """The platform's last word. Unless it has taken the whole of an ended body, it takes no more."""
        if (
            answer.cancelled()
            or answer.exception()
            or answer.result().status != _TAKEN
            or not self.over.is_set()
        ):
            self._stop()

    def _stop(self) -> None:
        self.over.set()
        self._connection.abort()
        self.gone.set()

    async def finish(self, failure: BaseException | None) -> Answer:
        """End the response, however the application left it, and wait for what the platform says to it."""
        if self._answer is None:
            await self._write(prelude_of(INTERNAL.status, _FAILED_HEADERS) + _FAILED_BODY, last=True)
        elif not self.over.is_set():
            self.over.set()
            self._connection.write(_failed_end(failure))
            await self._connection.drain()
        assert self._answer is not None
        return await self._answer


def _failed_end(failure: BaseException | None) -> bytes:
    """The end of a body that is not whole. The failure's own words stay in the log: they may hold what is secret."""
    kind = f"Runtime.{type(failure).__name__ if failure else 'Unfinished'}"
    error = {"errorType": kind, "errorMessage": "The response broke off: see the log.", "stackTrace": []}
    body = base64.b64encode(json.dumps(error).encode()).decode()
    return f"0\r\n{_ERROR}Type: {kind}\r\n{_ERROR}Body: {body}\r\n\r\n".encode("ascii", "replace")


async def serve(app: Application, api: str, background: TaskBackground, clock: Clock) -> None:
    """Serve invocations from the Runtime API at `api` (host:port), one after the other, for ever."""
    while True:
        connection = await Connection.open(api)
        try:
            while not connection.is_aborted():
                await _serve_next(app, connection, background, clock)
        finally:
            connection.abort()


async def _serve_next(
    app: Application, connection: Connection, background: TaskBackground, clock: Clock
) -> None:
    invocation = await _next(connection)
    try:
        answer = await _respond(app, connection, invocation, background)
        if answer.status != _TAKEN or connection.is_aborted():
            _log.warning("the platform did not take the response to %s: %d", invocation.id, answer.status)
            connection.abort()
    except (OSError, EOFError) as error:
        _log.warning("no connection for the response to %s: %r", invocation.id, error)
        connection.abort()
    left_s = (invocation.deadline_ms - clock.now_ms()) / 1000 - _DRAIN_MARGIN_S
    if unfinished := await background.drain(max(left_s, 0.0)):
        _log.warning("%d pieces of background work outlast %s", unfinished, invocation.id)


async def _next(connection: Connection) -> Invocation:
    answer = await connection.request("GET", "/next")
    if answer.status != 200:
        raise RuntimeError(f"/next answered {answer.status}")
    headers = answer.headers
    guard = headers.get("lambda-runtime-invocation-id")
    return Invocation(
        id=headers["lambda-runtime-aws-request-id"],
        deadline_ms=int(headers["lambda-runtime-deadline-ms"]),
        guard=f"Lambda-Runtime-Invocation-Id: {guard}\r\n" if guard else "",
        event=json.loads(answer.body),
    )


async def _respond(
    app: Application, connection: Connection, invocation: Invocation, background: TaskBackground
) -> Answer:
    if not is_http(invocation.event):
        headers = f"Content-Length: 4\r\n{invocation.guard}"
        return await connection.request("POST", f"/{invocation.id}/response", headers, b"null")
    exchange = Exchange(connection, invocation)
    failure = await _run(app, exchange, invocation, background)
    if not exchange.gone.is_set() and (failure or not exchange.over.is_set()):
        _log.error("no whole response to %s from the application", invocation.id, exc_info=failure)
    return await exchange.finish(failure)


async def _run(
    app: Application, exchange: Exchange, invocation: Invocation, background: TaskBackground
) -> BaseException | None:
    """Call the application; what it raised. In a task, so that its context variables do not reach the next call."""

    async def call() -> None:
        context = RequestContext(background, exchange.gone, invocation.deadline_ms)
        await app(scope_of(invocation.event) | {"sluice": context}, exchange.receive, exchange.send)

    task = asyncio.get_running_loop().create_task(call())
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()  # where the process is ending; otherwise it is done
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def main(environ: Mapping[str, str]) -> None:
    """Serve the application that `_HANDLER` names, "module.attribute"."""
    module, _, attribute = environ["_HANDLER"].rpartition(".")
    app: Application = getattr(importlib.import_module(module), attribute)
    asyncio.run(serve(app, environ["AWS_LAMBDA_RUNTIME_API"], TaskBackground(), SystemClock()))


if __name__ == "__main__":
    main(os.environ)
