"""What the streaming runtime of the AWS target makes of applications that fail and of a platform that refuses."""

import asyncio
import base64
import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from common.targets.aws.asgi import Message, Receive, Send
from tests.support.asgi import echo, start, write
from tests.support.runtime_api import Refusal, serving
from tests.support.url_events import url_event

GET = url_event("GET", "/")


# -- failures of the application ---------------------------------------------------------------------------------------


async def fail_at_once(send: Send) -> None:
    """Before anything is said."""
    raise ValueError("sk-secret")


async def fail_after_status(send: Send) -> None:
    """When status and headers are said, but no bytes yet."""
    await start(send, 200, [(b"x-made-by", b"app")])
    await write(send, b"")
    raise ValueError("sk-secret")


async def say_nothing(send: Send) -> None:
    """Return without an answer."""


async def cancel_itself(send: Send) -> None:
    """Be cancelled, though not by the runtime."""
    raise asyncio.CancelledError


async def omit_status(send: Send) -> None:
    """Say headers, but no status."""
    await send({"type": "http.response.start"})


BEFORE_THE_FIRST_BYTE = [fail_at_once, fail_after_status, say_nothing, cancel_itself, omit_status]


@pytest.mark.parametrize("answer", BEFORE_THE_FIRST_BYTE)
async def test_failure_before_the_first_byte(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A failure before the first byte is a 500 in OpenAI's envelope, logged, and without the failure's own words."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send)

    async with serving(app) as api:
        call = api.invoke(GET)
        assert await call.head() == (500, {"content-type": "application/json"}, [])
        body = await call.body()
    assert b"sk-secret" not in body
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "server_error"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert call.id in caplog.text


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        pytest.param(ValueError("sk-secret"), "Runtime.ValueError", id="exception"),
        pytest.param(OSError("upstream"), "Runtime.OSError", id="an OSError of its own"),
        pytest.param(asyncio.CancelledError(), "Runtime.CancelledError", id="cancelled"),
        pytest.param(None, "Runtime.Unfinished", id="returned early"),
    ],
)
async def test_failure_mid_stream(
    failure: BaseException | None, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure after the first byte ends the body with the error trailers: the client sees that it is not whole."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        await write(send, b"part")
        if failure:
            raise failure

    async with serving(app) as api:
        call = api.invoke(GET)
        assert await call.chunk() == b"part"
        with pytest.raises(EOFError, match="broke off"):
            await call.chunk()
        assert await call.status() == 202
        await api.idle()
        assert api.connections == 1
    body = json.loads(base64.b64decode(call.trailers["lambda-runtime-function-error-body"]))
    assert call.trailers["lambda-runtime-function-error-type"] == body["errorType"] == kind
    assert (body["stackTrace"], "sk-secret" in body["errorMessage"]) == ([], False)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_failure_after_the_response() -> None:
    """A failure when the response is over changes nothing for the client."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        raise ValueError

    async with serving(app) as api:
        call = api.invoke(url_event("POST", "/", body=b"whole"))
        assert (await call.body(), call.trailers) == (b"whole", {})


async def test_calls_after_failures() -> None:
    """After any failure the same process, on the same connection, serves the next call."""
    answers: Sequence[Any] = BEFORE_THE_FIRST_BYTE

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/echo":
            await echo(scope, receive, send)
        else:
            await answers[int(scope["path"][1:])](send)

    async with serving(app) as api:
        for index in range(len(answers)):
            failed = api.invoke(url_event("GET", f"/{index}"))
            served = api.invoke(url_event("POST", "/echo", body=b"here"))
            assert ((await failed.head()).status, await served.body()) == (500, b"here")
        assert api.connections == 1


@pytest.mark.parametrize(
    "event", [b"{", b"\xff", b"", b"[" * 100_000], ids=["cut", "not text", "empty", "nested too deeply"]
)
@pytest.mark.parametrize("guard", ["guard-7", None], ids=["guarded", "not guarded"])
async def test_event_that_is_not_json(
    event: bytes, guard: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """An event that cannot be read is reported as an error; the next one is served over the same connection."""
    async with serving(echo) as api:
        call = api.invoke(event, guard=guard)
        assert await call.status() == 202
        assert (call.is_error, call.headers.get("lambda-runtime-invocation-id")) == (True, guard)
        assert call.headers["lambda-runtime-function-error-type"] == "Runtime.UnmarshalError"
        assert json.loads(await call.body())["errorType"] == "Runtime.UnmarshalError"
        assert await api.invoke(url_event("POST", "/", body=b"here")).body() == b"here"
        assert api.connections == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize(
    "result", [ValueError("sk-secret"), {"not": "JSON", "but": b"bytes"}], ids=["raised", "said"]
)
async def test_trigger_that_fails(result: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What is triggered and fails is reported as an error, so that Lambda tries it again; its words stay in the log."""

    async def trigger(event: Any) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    async with serving(echo, trigger=trigger) as api:
        call = api.invoke({"source": "aws.events"})
        assert await call.status() == 202
        assert call.is_error
        assert b"sk-secret" not in await call.body()
        assert await api.invoke(url_event("POST", "/", body=b"here")).body() == b"here"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"requestContext": {"http": {}}}, id="no method"),
        pytest.param(url_event("POST", "/") | {"headers": None}, id="no headers"),
        pytest.param(url_event("POST", "/") | {"headers": {"host": 1}}, id="a header that is no text"),
        pytest.param(url_event("POST", "/") | {"rawPath": 1}, id="a path that is no text"),
        pytest.param(
            url_event("POST", "/") | {"body": [1], "isBase64Encoded": False}, id="a body that is no text"
        ),
        pytest.param(url_event("POST", "/") | {"body": "a", "isBase64Encoded": True}, id="not base 64"),
        pytest.param(url_event("POST", "/") | {"body": "\ud800", "isBase64Encoded": False}, id="half a pair"),
    ],
)
async def test_event_that_is_not_as_it_must_be(event: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A call without a method, or with what is no text, is answered with a 500 and logged; the next is served."""
    async with serving(echo) as api:
        call = api.invoke(event)
        assert (await call.head()).status == 500
        assert json.loads(await call.body())["error"]["type"] == "server_error"
        assert await api.invoke(url_event("POST", "/", body=b"here")).body() == b"here"
        assert api.connections == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


# -- refusals of the platform ------------------------------------------------------------------------------------------


class Stubborn:
    """An application that sends until it may not, and notes what it saw."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.sent: list[bytes] = []
        self.gone = False
        self.told = ""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a call; `/echo` without trouble."""
        if scope["path"] == "/echo":
            await echo(scope, receive, send)
            return
        await receive()
        await start(send)
        try:
            for piece in self._pieces:
                await write(send, piece)
                self.sent.append(piece)
            while True:
                await asyncio.sleep(0)
                await write(send, b"more")
        except OSError:
            self.gone = scope["sluice"].gone.is_set()
            self.told = (await receive())["type"]
            raise


@pytest.mark.parametrize("status", [410, 413, 202, None], ids=["late", "too large", "early", "hung up"])
@pytest.mark.parametrize(
    ("pieces", "sent", "read"),
    [
        pytest.param([b"first"], [b"first"], 1, id="seen before the next piece"),
        pytest.param([b"first", bytes(2**25)], [b"first"], 1, id="while the platform takes no more"),
        pytest.param([bytes(2**25)], [], 0, id="while it takes no more of the first piece"),
    ],
)
async def test_refusal_mid_stream(
    status: int | None, pieces: list[bytes], sent: list[bytes], read: int, caplog: pytest.LogCaptureFixture
) -> None:
    """An end that the platform makes before ours sets `gone` and makes `send` an `OSError`, also where it is waiting.

    It is the platform's doing, not the application's, and the next call is served over a new connection.
    """
    app = Stubborn(*pieces)
    async with serving(app) as api:
        call = api.invoke(GET, refusal=Refusal(status, after=read))
        assert await call.status() == status
        assert await api.invoke(url_event("POST", "/echo", body=b"here")).body() == b"here"
        assert api.connections == 2
    assert (app.sent, app.gone, app.told) == (sent, True, "http.disconnect")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("status", [410, None], ids=["late", "hung up"])
@pytest.mark.parametrize("event", [GET, {}], ids=["HTTP", "schedule"])
async def test_refusal_of_a_whole_response(
    event: Any, status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole response that the platform does not take is logged; the next call is served over a new connection."""
    async with serving(echo) as api:
        assert await api.invoke(event, refusal=Refusal(status)).status() == status
        assert await api.invoke(url_event("POST", "/", body=b"here")).body() == b"here"
        assert api.connections == 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "request-1" in caplog.text
