"""The edge: what holds for a request however it ends."""

import asyncio
import json
from typing import Any

import pytest

from common.adapters.background import TaskBackground
from common.gateway.context import Gone, RequestContext
from common.model.ids import KeyId
from tests.support.gateway import memory_gateway
from tests.support.scripted import CHAT, PROVIDERS, REQUEST, LogLines, logging_to


class Stuck:
    """A provider that never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def send(self, _request: object) -> Any:
        """See `Upstream.send`."""
        return self

    async def __aenter__(self) -> None:
        self.asked.set()
        await asyncio.get_running_loop().create_future()

    async def __aexit__(self, *_: object) -> None:
        """Leaving closes nothing."""


async def test_cancelled_request() -> None:
    """A request that the platform cancels is settled, told as cancelled, and stays cancelled."""
    upstream, background, lines = Stuck(), TaskBackground(), LogLines()
    held = await memory_gateway(PROVIDERS.format(url="http://x"), upstream, {"KEY": "k"})
    body = json.dumps(dict(REQUEST)).encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(_: Any) -> None:
        raise AssertionError("nobody is there")

    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "headers": [(b"authorization", f"Bearer {held.key}".encode())],
        "sluice": RequestContext(background, Gone()),
    }
    with logging_to(lines):
        request = asyncio.ensure_future(held.app()(scope, receive, send))
        await upstream.asked.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    await background.drain(5)
    [record], [line] = held.meter.settled, map(json.loads, lines.json)
    assert (
        (record.outcome, record.key_id)
        == (line["outcome"], line["key_id"])
        == ("cancelled", KeyId("key_test"))
    )
    assert line["status"] == 499
