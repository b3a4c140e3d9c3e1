"""One invocation as ASGI sees it, and what becomes of it on the wire.

- The answer begins with the first bytes of its body, never with the status alone: until then a failure is still a 500.
- The client's leaving cannot be seen here. An answer to a body that has not ended yet (410: too late, 413: too large)
  means that nobody takes the rest: `gone` is set and `send` raises `OSError`.

Protocol of the streamed response: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html (November 2026).
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.gateway.context import Gone
from common.targets.aws.asgi import Message
from common.targets.aws.connection import INVOCATION, Answer, Connection
from common.targets.aws.scope import body_of, prelude_of
from common.wire.openai.errors import INTERNAL, envelope

TAKEN: Final = 202
ERROR: Final = "Lambda-Runtime-Function-Error-"
_STREAMED: Final = (
    "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    "Content-Type: application/vnd.awslambda.http-integration-response\r\n"
    "Transfer-Encoding: chunked\r\n"
    f"Trailer: {ERROR}Type\r\n"
    f"Trailer: {ERROR}Body\r\n"
)
_FAILED_HEADERS: Final = ((b"content-type", b"application/json"),)
_FAILED_BODY: Final = envelope("The gateway failed. Its log tells why.", INTERNAL.type, code=INTERNAL.code)


@dataclass(frozen=True, slots=True)
class Invocation:
    """What `/next` hands out. `guard` is the header line that ties the response to it, where the platform asks."""

    id: str
    deadline_ms: int
    guard: str
    trace_id: str | None  # X-Ray's, as the header `x-amzn-trace-id` has it
    body: bytes

    def event(self) -> Any:
        """`ValueError` where it is not JSON."""
        return json.loads(self.body)


class Exchange:
    """One call: `receive` and `send`; and `finish`, for what the application left undone."""

    def __init__(self, connection: Connection, invocation: Invocation, event: Mapping[str, Any]) -> None:
        self.gone = Gone()
        self.over = asyncio.Event()
        self._connection = connection
        self._invocation = invocation
        self._event = event
        self._received = False
        self._prelude = b""
        self._answer: asyncio.Task[Answer] | None = None

    async def receive(self) -> Message:
        """ASGI's: the body at once; when the response is over, the disconnect."""
        if self._received:
            await self.over.wait()
            return {"type": "http.disconnect"}
        self._received = True
        return {"type": "http.request", "body": body_of(self._event), "more_body": False}

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
                path, headers = (
                    f"{INVOCATION}/{self._invocation.id}/response",
                    _STREAMED + self._invocation.guard,
                )
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
            or answer.result().status != TAKEN
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
    body = base64.b64encode(error_body(kind, "The response broke off: see the log.")).decode()
    return f"0\r\n{ERROR}Type: {kind}\r\n{ERROR}Body: {body}\r\n\r\n".encode("ascii", "replace")


def error_body(kind: str, message: str) -> bytes:
    """An error as the Runtime API takes it."""
    return json.dumps({"errorType": kind, "errorMessage": message, "stackTrace": []}).encode()
