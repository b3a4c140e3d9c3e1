"""The streaming runtime of the AWS target against the Runtime API as the platform plays it, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.gateway.context import RequestContext
from common.targets.aws.asgi import Message, Receive, Send
from common.targets.aws.runtime import serve
from tests.support.asgi import echo, start, write
from tests.support.runtime_api import RuntimeApi, serving
from tests.support.url_events import post, url_event

GET = url_event("GET", "/")


async def turns(count: int = 100) -> None:
    """Give everything else that is ready to run the time to do so."""
    for _ in range(count):
        await asyncio.sleep(0)


# -- streaming ---------------------------------------------------------------------------------------------------------


async def test_first_chunk_is_out_before_the_last_is_made() -> None:
    """Every chunk reaches the platform while the application has not made the next."""
    wanted: asyncio.Queue[bytes] = asyncio.Queue()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send, headers=[(b"content-type", b"text/event-stream")])
        while piece := await wanted.get():
            await write(send, piece)
        await write(send, b"", more=False)

    async with serving(app) as api:
        call = api.invoke(GET)
        for piece in (b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n"):
            wanted.put_nowait(piece)
            assert await call.chunk() == piece
        wanted.put_nowait(b"")
        assert await call.chunk() == b""
        assert await call.status() == 202


async def test_status_leaves_with_the_first_bytes() -> None:
    """Prelude, eight NULs and the first bytes of the body are one chunk; an empty piece before them sends nothing."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send, 201, [(b"content-type", b"text/plain")])
        await write(send, b"")
        await write(send, b"first")
        await write(send, b"last", more=False)

    async with serving(app) as api:
        call = api.invoke(GET)
        assert await call.body() == b"firstlast"
    prelude = b'{"statusCode":201,"headers":{"content-type":"text/plain"},"cookies":[]}'
    assert call.received == [prelude + bytes(8) + b"first", b"last"]


async def test_headers_and_cookies() -> None:
    """Several cookies stay apart, other repeated headers are joined."""
    headers = [
        (b"set-cookie", b"a=1, 2"),
        (b"vary", b"origin"),
        (b"set-cookie", b"b=3"),
        (b"vary", b"accept"),
    ]

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send, 418, headers)
        await write(send, b"", more=False)

    async with serving(app) as api:
        call = api.invoke(GET)
        assert await call.head() == (418, {"vary": "origin, accept"}, ["a=1, 2", "b=3"])
        assert await call.body() == b""


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"small", id="below 2 KB"),
        pytest.param(b"x" * 2_500, id="above 2 KB, in chunks"),
        pytest.param("é\0\n".encode() * 100_000, id="beyond every buffer"),
        pytest.param(bytes(range(256)), id="binary, in base 64"),
        pytest.param(b"\xff" * 300_000, id="binary, in chunks"),
    ],
)
async def test_bodies_arrive(body: bytes) -> None:
    """A request's body arrives whole, however the platform hands it over."""
    async with serving(echo) as api:
        assert await api.invoke(url_event("POST", "/", body=body)).body() == body


async def test_scope_and_context_are_handed_in() -> None:
    """The application finds the request in its scope, and in `scope["sluice"]` deadline, background and `gone`."""
    scopes: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    async with serving(app) as api:
        event = post("/v1/chat/completions", {"model": "demo"}, {"authorization": "Bearer k"})
        call = api.invoke(event, deadline_ms=1_900_000_000_123)
        assert json.loads(await call.body()) == {"model": "demo"}
        await api.idle()
    [scope] = scopes
    context = scope["sluice"]
    assert isinstance(context, RequestContext)
    assert (scope["method"], scope["path"]) == ("POST", "/v1/chat/completions")
    assert (b"authorization", b"Bearer k") in scope["headers"]
    assert (context.deadline_ms, context.gone.is_set()) == (1_900_000_000_123, False)


async def test_disconnect_comes_after_the_response() -> None:
    """A second `receive` waits until the response is over, and then tells of the disconnect; `send` is an `OSError`."""
    order: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            await receive()
            order.append((await receive())["type"])

        listener = asyncio.create_task(listen())
        await start(send)
        await write(send, b"some")
        await turns()
        order.append("last")
        await write(send, b"all", more=False)
        await listener
        with pytest.raises(OSError, match="over"):
            await write(send, b"more")

    async with serving(app) as api:
        assert await api.invoke(GET).body() == b"someall"
        await api.idle()
    assert order == ["last", "http.disconnect"]


@pytest.mark.parametrize("event", [{"source": "aws.events"}, {}, None], ids=["schedule", "empty", "null"])
async def test_other_events_answer_null(event: Any) -> None:
    """What is not a call of the function's URL is answered with `null`, and does not reach the application."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise AssertionError("called")

    async with serving(app) as api:
        call = api.invoke(event)
        assert await call.body() == b"null"
        assert "lambda-runtime-function-response-mode" not in call.headers


async def test_other_events_trigger() -> None:
    """Where there is something to trigger, it gets such an event, and answers it before the next call."""

    async def trigger(event: Any) -> Any:
        return {"got": event["number"]}

    async with serving(echo, trigger=trigger) as api:
        for number in (1, 2):
            assert json.loads(await api.invoke({"number": number}).body()) == {"got": number}
        assert await api.invoke(url_event("POST", "/", body=b"here")).body() == b"here"


@pytest.mark.parametrize("event", [GET, {}], ids=["HTTP", "schedule"])
@pytest.mark.parametrize("guard", ["guard-7", None], ids=["given", "not given"])
async def test_invocation_id_is_echoed(event: Any, guard: str | None) -> None:
    """Lambda-Runtime-Invocation-Id goes back as it came, and only if it came."""
    async with serving(echo) as api:
        call = api.invoke(event, guard=guard)
        assert await call.status() == 202
        assert call.headers.get("lambda-runtime-invocation-id") == guard


async def test_context_variables_end_with_the_call() -> None:
    """What one call leaves in context variables the next does not find."""
    user: ContextVar[str] = ContextVar("user", default="nobody")

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        await write(send, user.get().encode(), more=False)
        user.set("somebody")

    async with serving(app) as api:
        assert [await api.invoke(GET).body() for _ in range(2)] == [b"nobody", b"nobody"]


# -- between invocations -----------------------------------------------------------------------------------------------


async def test_connection_is_kept() -> None:
    """Invocations follow each other on one connection."""
    async with serving(echo) as api:
        for number in range(5):
            body = b"x" * number * 1_000
            assert await api.invoke(url_event("POST", "/", body=body)).body() == body
        await api.idle()
        assert (api.asked, api.connections) == (6, 1)


async def test_connection_closed_in_between() -> None:
    """Where the platform has closed the connection that was kept, the next invocation comes over another."""
    async with serving(echo) as api:
        assert await api.invoke(url_event("POST", "/", body=b"one")).body() == b"one"
        await api.idle()
        api.hang_up()
        assert await api.invoke(url_event("POST", "/", body=b"two")).body() == b"two"
        assert api.connections == 2


async def test_repeated_id() -> None:
    """An invocation that comes again under the same id is answered again."""
    async with serving(echo) as api:
        for body in (b"one", b"two"):
            call = api.invoke(url_event("POST", "/", body=body), request_id="again")
            assert (await call.body(), await call.status()) == (body, 202)


async def test_background_work_runs_before_the_next_call() -> None:
    """Background work goes on when the client has everything, and the next invocation is asked for only after it."""
    client_is_done = asyncio.Event()
    asked: list[int] = []

    async with serving_with_work(client_is_done, asked) as api:
        first = api.invoke(GET)
        assert await first.body() == b"done"
        assert await first.status() == 202
        second = api.invoke(GET)
        assert asked == []
        client_is_done.set()
        assert await second.body() == b"done"
        await api.idle()
    assert asked == [1, 2]


@asynccontextmanager
async def serving_with_work(begin: asyncio.Event, asked: list[int]) -> AsyncIterator[RuntimeApi]:
    """Serve an application whose background work notes at its end how often `/next` was asked for."""
    apis: list[RuntimeApi] = []

    async def work() -> None:
        await begin.wait()
        await turns()  # a runtime that does not wait would ask now
        asked.append(apis[0].asked)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scope["sluice"].background.run(work())
        await start(send)
        await write(send, b"done", more=False)

    async with serving(app) as api:
        apis.append(api)
        yield api


async def test_background_work_does_not_outlast_the_deadline(caplog: pytest.LogCaptureFixture) -> None:
    """At the deadline the next invocation is asked for, whatever still runs: frozen work may go on, killed work not."""
    never = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scope["sluice"].background.run(work())
        await echo(scope, receive, send)

    async def work() -> None:
        await never.wait()

    async with serving(app) as api:
        call = api.invoke(GET, deadline_ms=SystemClock().now_ms() + 510)
        assert await call.status() == 202
        await api.idle()
        never.set()
    assert "1 pieces of background work outlast request-1" in caplog.text


# -- the process -------------------------------------------------------------------------------------------------------


async def test_call_ends_with_the_process() -> None:
    """A runtime that is being ended takes the call that it serves with it."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with RuntimeApi() as api:
        runtime = asyncio.create_task(serve(app, api.address, TaskBackground(), SystemClock()))
        call = api.invoke(GET)
        await asyncio.wait_for(begun.wait(), 10)
        runtime.cancel()
        assert await call.status() is None
    assert ended.is_set()


async def test_no_platform() -> None:
    """Without a Runtime API the process ends with the connection's error."""
    async with RuntimeApi() as api:
        address = api.address
    with pytest.raises(OSError, match=address.partition(":")[2]):
        await serve(echo, address, TaskBackground(), SystemClock())


async def test_nothing_to_serve() -> None:
    """Where no invocation can be had the runtime ends, for Lambda to start another."""
    async with RuntimeApi() as api:
        api.next_status = 403
        api.invoke(GET)
        with pytest.raises(RuntimeError, match="/next answered 403"):
            await serve(echo, api.address, TaskBackground(), SystemClock())
