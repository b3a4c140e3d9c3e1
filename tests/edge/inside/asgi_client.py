"""One request to the application, as a Worker's bridge would make it, step by step."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from common.adapters.background import TaskBackground
from common.gateway.context import Gone, RequestContext

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_PATIENCE_S = 10


class Exchange:
    """What has been sent to the client so far; the client may leave."""

    def __init__(self, method: str, path: str, body: object, authorization: str | None) -> None:
        """`body`: the JSON to send; None: nothing."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.ended = False
        self.notes: list[str] = []  # the script's own
        self.background = TaskBackground()
        self.gone = Gone()
        self._scope = _scope(method, path, authorization)
        self._scope["sluice"] = RequestContext(self.background, self.gone)
        self._unread: bytes | None = b"" if body is None else json.dumps(body).encode()
        self._moved = asyncio.Event()
        self._left = asyncio.Event()

    async def run(self, app: App) -> None:
        """Until the application is through and its background work done."""
        await app(self._scope, self._receive, self._send)
        if await self.background.drain(_PATIENCE_S):
            raise TimeoutError("background work does not end")

    async def until(self, text: bytes) -> None:
        """Until `text` has been sent to the client."""
        while text not in self.body:
            self._moved.clear()
            await asyncio.wait_for(self._moved.wait(), _PATIENCE_S)

    def leave(self) -> None:
        """The client goes away."""
        self.gone.set()
        self._left.set()

    async def _receive(self) -> Message:
        if (body := self._unread) is not None:
            self._unread = None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.gone.is_set():
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")
            self.ended = not message.get("more_body", False)
        self._moved.set()


def _scope(method: str, path: str, authorization: str | None) -> Message:
    headers = [(b"host", b"gateway.example.com"), (b"content-type", b"application/json")]
    if authorization is not None:
        headers.append((b"authorization", authorization.encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("192.0.2.1", 0),
        "server": ("gateway.example.com", 443),
    }
