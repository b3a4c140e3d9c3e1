"""A function that the managed runtime calls: whole answers, through Mangum."""

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from common.adapters.clock import SystemClock
from common.targets.aws.asgi import Application, Message, Receive, Send
from common.targets.aws.handler import Handler
from common.targets.aws.log import CorrelatedLines
from tests.support.asgi import echo, start, write
from tests.support.lambda_apps import Plain
from tests.support.url_events import url_event

REST = {
    "resource": "/",
    "path": "/v1/models",
    "httpMethod": "POST",
    "headers": {"Host": "api.example.com"},
    "multiValueHeaders": {"Host": ["api.example.com"]},
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "requestContext": {"identity": {"sourceIp": "192.0.2.1"}, "resourcePath": "/"},
    "body": "text",
    "isBase64Encoded": False,
}
BALANCER = {
    "requestContext": {"elb": {"targetGroupArn": "arn"}},
    "httpMethod": "POST",
    "path": "/v1/models",
    "queryStringParameters": {},
    "headers": {"host": "lb.example.com", "x-forwarded-for": "192.0.2.1"},
    "body": "text",
    "isBase64Encoded": False,
}
URL = url_event("POST", "/v1/models", body=b"text")


class Context:
    """Of an invocation."""

    aws_request_id = "invocation-1"

    def __init__(self, left_ms: int = 10_000) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        """See `LambdaContext`."""
        return self._left_ms


@pytest.fixture(autouse=True)
def _ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CorrelatedLines, "ids", "")


@contextmanager
def handling(app: Application) -> Iterator[Handler]:
    """A handler, whose event loop is closed at the end."""
    handler = Handler(app, Plain())
    yield handler
    handler._loop.close()
    asyncio.set_event_loop(None)


def body(answer: dict[str, Any]) -> bytes:
    """Of an answer in Mangum's form."""
    return base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()


@pytest.mark.parametrize("event", [REST, BALANCER, URL], ids=["API Gateway", "load balancer", "function URL"])
def test_fronts(event: dict[str, Any]) -> None:
    """Events of each front that calls functions are answered, again and again, in one event loop."""
    loops = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        loops.append(asyncio.get_running_loop())
        assert (scope["method"], scope["path"]) == ("POST", "/v1/models")
        await echo(scope, receive, send)

    with handling(app) as handler:
        for _ in range(2):
            answer = handler(event, Context())
            assert (answer["statusCode"], body(answer)) == (200, b"text")
    assert loops[0] is loops[1]


def test_context_and_background() -> None:
    """The application finds the deadline; what it leaves to the background is done when the answer is returned."""
    done = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(True)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        context = scope["sluice"]
        context.background.run(work())
        await start(send)
        await write(send, json.dumps([context.deadline_ms, context.gone.is_set()]).encode(), more=False)

    before = SystemClock().now_ms()
    with handling(app) as handler:
        deadline_ms, gone = json.loads(body(handler(URL, Context())))
    assert before + 10_000 <= deadline_ms <= SystemClock().now_ms() + 10_000
    assert (gone, done) == (False, [True])


def test_background_work_does_not_outlast_the_deadline(caplog: pytest.LogCaptureFixture) -> None:
    """Shortly before the deadline the answer is returned, whatever still runs."""
    never = asyncio.Event()

    async def work() -> None:
        await never.wait()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scope["sluice"].background.run(work())
        await echo(scope, receive, send)

    with handling(app) as handler:
        assert handler(URL, Context(left_ms=505))["statusCode"] == 200
        assert "1 pieces of background work outlast invocation-1" in caplog.text
        never.set()
        handler._loop.run_until_complete(handler.deployed.background.drain(1))


@pytest.mark.parametrize("event", [{"source": "aws.events"}, {}], ids=["schedule", "empty"])
def test_other_events(event: dict[str, Any]) -> None:
    """What is no HTTP request does not reach the application: it triggers what there is to trigger, or nothing."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise AssertionError("called")

    async def trigger(event: Any) -> Any:
        return {"got": event}

    with handling(app) as handler:
        assert handler(event, Context()) is None
        handler.trigger = trigger
        assert handler(event, Context()) == {"got": event}
