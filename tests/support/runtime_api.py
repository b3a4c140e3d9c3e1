"""Lambda's Runtime API as the platform plays it towards a runtime, over real sockets, with h11 as the strict parser.

    async with serving(app) as api:
        call = api.invoke(post("/v1/chat/completions", {"model": "demo", ...}, {"authorization": "Bearer ..."}))
        assert (await call.head()).status == 200
        first = await call.chunk()  # as it comes; b"" at the end; or `async for chunk in call`
        rest = await call.body()
        await api.idle()  # the invocation is over: background work is done, the next one is asked for

Events are made in `tests.support.url_events`. Everything can be waited for, so a test never sleeps; nothing is waited
for longer than `PATIENCE_S`. A breach of the protocol is kept, and raised when the platform closes.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import h11

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.targets.aws.asgi import Application
from common.targets.aws.runtime import Trigger, answer_nothing, serve

PATIENCE_S: Final = 10
PREFIX: Final = "/2018-06-01/runtime/invocation"
PRELUDE_END: Final = bytes(8)
CHUNKED_ABOVE: Final = 2048  # as Go's server does, for want of a Content-Length
FAR_DEADLINE_MS: Final = 2**52
STREAMING: Final = {
    "lambda-runtime-function-response-mode": "streaming",
    "content-type": "application/vnd.awslambda.http-integration-response",
    "transfer-encoding": "chunked",
}
TRAILERS: Final = ["lambda-runtime-function-error-type", "lambda-runtime-function-error-body"]
TAKEN: Final = 202


class ProtocolBreach(Exception):
    """The runtime did what the Runtime API does not allow."""


class Head(NamedTuple):
    """What the prelude of a streamed response says."""

    status: int
    headers: dict[str, str]
    cookies: list[str]


@dataclass(frozen=True)
class Refusal:
    """How the platform ends a response that it does not take."""

    status: int | None  # None: it hangs up without an answer
    after: int | None = None  # HTTP chunks that it reads before; None: the whole body


class Invocation:
    """One event, and the client's side of what came back for it."""

    def __init__(
        self, event: Any, request_id: str, *, deadline_ms: int, guard: str | None, refusal: Refusal | None
    ) -> None:
        self.id = request_id
        self.event = event
        self.deadline_ms = deadline_ms
        self.guard = guard
        self.refusal = refusal
        self.is_error = False  # the runtime has reported one, in place of a response
        self.headers: dict[str, str] = {}  # of the runtime's request
        self.received: list[bytes] = []  # HTTP chunks, the prelude among them
        self.trailers: dict[str, str] = {}
        self._head: Head | None = None
        self._chunks: list[bytes] = []
        self._taken = 0
        self._ended = False
        self._status: int | None = None
        self._moved = asyncio.Event()

    async def head(self) -> Head:
        """Status and headers, once they are there."""
        await self._until(lambda: self._head is not None)
        assert self._head is not None
        return self._head

    async def chunk(self) -> bytes:
        """The next HTTP chunk of the body; `b""` at its end. `EOFError` where it is not whole."""
        await self._until(lambda: self._taken < len(self._chunks) or self._ended)
        if self._taken < len(self._chunks):
            self._taken += 1
            return self._chunks[self._taken - 1]
        if self.trailers or self._status != TAKEN:
            raise EOFError("the response broke off")
        return b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.chunk():
            yield chunk

    async def body(self) -> bytes:
        """All that is left of the body, to its end. `EOFError` where it is not whole."""
        return b"".join([chunk async for chunk in self])

    async def status(self) -> int | None:
        """What the runtime was told about its response, once it was; `None` where one of them hung up."""
        await self._until(lambda: self._ended)
        return self._status

    def take(self, chunk: bytes) -> None:
        """The platform has received a chunk."""
        self.received.append(chunk)
        if self._head is None and STREAMING.items() <= self.headers.items():
            prelude, end, chunk = chunk.partition(PRELUDE_END)
            fields = json.loads(prelude)
            if not end or b"\0" in prelude or fields.keys() != {"statusCode", "headers", "cookies"}:
                raise ProtocolBreach(f"not a prelude: {prelude!r}")
            self._head = Head(fields["statusCode"], fields["headers"], fields["cookies"])
        if chunk:
            self._chunks.append(chunk)
        self._moved.set()

    def end(self, status: int | None) -> None:
        """The platform has ended the response."""
        self._status = status
        self._ended = True
        self._moved.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._moved.clear()
                await self._moved.wait()


class RuntimeApi:
    """The platform: one execution environment's Runtime API on a free port of this machine."""

    def __init__(self) -> None:
        self.address = ""
        self.asked = 0  # times that the runtime has asked for an invocation
        self.connections = 0
        self.next_status = 200
        self._invocations: asyncio.Queue[Invocation] = asyncio.Queue()
        self._issued = 0
        self._idle = asyncio.Event()
        self._breaches: list[Exception] = []
        self._lines: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def invoke(
        self,
        event: Any,
        *,
        deadline_ms: int = FAR_DEADLINE_MS,
        guard: str | None = None,
        refusal: Refusal | None = None,
        request_id: str | None = None,
    ) -> Invocation:
        """Queue an invocation. `guard`: its Lambda-Runtime-Invocation-Id; without the echo it is refused (410).

        An event of bytes is handed out as it is.
        """
        self._issued += 1
        self._idle.clear()
        request_id = request_id or f"request-{self._issued}"
        call = Invocation(event, request_id, deadline_ms=deadline_ms, guard=guard, refusal=refusal)
        self._invocations.put_nowait(call)
        return call

    def hang_up(self) -> None:
        """Close all connections, as may happen while the process is frozen."""
        for task, writer in self._lines.items():
            task.cancel()
            writer.transport.abort()

    async def idle(self) -> None:
        """Until the runtime has asked for an invocation and there is none: the environment would freeze now."""
        async with asyncio.timeout(PATIENCE_S):
            await self._idle.wait()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._server.close()
        for task, writer in self._lines.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._lines, return_exceptions=True)
        await self._server.wait_closed()
        if self._breaches:
            raise self._breaches[0]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # not a coroutine: Python 3.11 logs an error for each one that is cancelled
        self.connections += 1
        self._lines[asyncio.create_task(self._attend(_Line(reader, writer)))] = writer

    async def _attend(self, line: "_Line") -> None:
        try:
            while await self._hand_out(line):
                pass
        except (ProtocolBreach, h11.ProtocolError, ValueError) as breach:
            self._breaches.append(breach)
            line.writer.transport.abort()
        except ConnectionError:
            pass  # the runtime is free to hang up

    async def _hand_out(self, line: "_Line") -> bool:
        """Answer one `/next` and take the response; whether the connection is still good."""
        request = await line.event()
        if isinstance(request, h11.ConnectionClosed):
            return False
        line.expect(request, "GET", "/next")
        await line.event()  # its end
        self.asked += 1
        if self._invocations.empty():
            self._idle.set()
        call = await self._invocations.get()
        if self.next_status != 200:
            await line.answer(self.next_status, [], b"{}")
            return False
        headers = [
            ("Lambda-Runtime-Aws-Request-Id", call.id),
            ("Lambda-Runtime-Deadline-Ms", str(call.deadline_ms)),
            ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:000000000000:function:chat"),
        ]
        headers += [("Lambda-Runtime-Invocation-Id", call.guard)] if call.guard else []
        event = call.event if isinstance(call.event, bytes) else json.dumps(call.event).encode()
        await line.answer(200, headers, event)
        line.http.start_next_cycle()
        return await _take(line, call)


async def _take(line: "_Line", call: Invocation) -> bool:
    """Receive the response to `call`; whether the connection is still good."""
    request = await line.event()
    if isinstance(request, h11.ConnectionClosed):
        call.end(None)  # the runtime's process has ended
        return False
    call.is_error = request.target.endswith(b"/error")
    call.headers = line.expect(request, "POST", f"/{call.id}/{'error' if call.is_error else 'response'}")
    chunk = b""
    while not isinstance(event := await line.event(), h11.EndOfMessage):
        chunk += event.data
        if event.chunk_end:
            call.take(chunk)
            chunk = b""
        if call.refusal and len(call.received) == call.refusal.after:
            return await _refuse(line, call, call.refusal)
    if chunk:
        call.take(chunk)  # a body that is not in chunks
    call.trailers = {name.decode(): value.decode() for name, value in event.headers}
    if call.trailers and list(call.trailers) != TRAILERS:
        raise ProtocolBreach(f"trailers that were not announced: {call.trailers}")
    if call.refusal is None and call.guard not in (None, call.headers.get("lambda-runtime-invocation-id")):
        return await _refuse(line, call, Refusal(410))
    if call.refusal:
        return await _refuse(line, call, call.refusal)
    call.end(TAKEN)
    await line.answer(TAKEN, [], b'{"status":"OK"}\n')
    line.http.start_next_cycle()
    return True


async def _refuse(line: "_Line", call: Invocation, refusal: Refusal) -> bool:
    """End the response, and read no more; what is to be closed the runtime has to close."""
    call.end(refusal.status)
    if refusal.status is None:
        line.writer.transport.abort()
    else:
        await line.answer(refusal.status, [("Connection", "close")], b'{"errorType":"Refused"}\n')
    return False


class _Line:
    """One connection, seen through h11."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.http = h11.Connection(h11.SERVER)
        self.writer = writer
        self._reader = reader

    async def event(self) -> Any:
        """The next thing that the runtime says."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self._reader.read(65_536))
        return event

    def expect(self, request: Any, method: str, path: str) -> dict[str, str]:
        """The headers of a request, which must be this one."""
        said = (request.method, request.target) if isinstance(request, h11.Request) else request
        if said != (method.encode(), (PREFIX + path).encode()):
            raise ProtocolBreach(f"expected {method} {path}, got {said}")
        headers = [(name.decode(), value.decode()) for name, value in request.headers]
        mode = dict(headers).get("lambda-runtime-function-response-mode")
        announced = [value.lower() for name, value in headers if name == "trailer"]
        if mode and (not STREAMING.items() <= dict(headers).items() or announced != TRAILERS):
            raise ProtocolBreach(f"not a streamed response: {headers}")
        return dict(headers)

    async def answer(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer; above 2 KB in chunks, each sent by itself."""
        chunked = len(body) > CHUNKED_ABOVE
        framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))
        pieces = [body[at : at + CHUNKED_ABOVE] for at in range(0, len(body), CHUNKED_ABOVE)]
        head = h11.Response(status_code=status, headers=[*headers, framing])
        for event in (head, *(h11.Data(data=piece) for piece in pieces), h11.EndOfMessage()):
            self.writer.write(self.http.send(event) or b"")
            await self.writer.drain()


@asynccontextmanager
async def serving(app: Application, trigger: Trigger = answer_nothing) -> AsyncIterator[RuntimeApi]:
    """A platform, and on it the runtime that serves `app`. If that ends by itself, its error is raised."""
    async with RuntimeApi() as api:
        runtime = asyncio.create_task(
            serve(app, api.address, TaskBackground(), SystemClock(), trigger=trigger)
        )
        try:
            yield api
        finally:
            runtime.cancel()
            await asyncio.wait({runtime})
            if not runtime.cancelled():
                runtime.result()
