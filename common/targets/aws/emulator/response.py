"""What a function answers, from the Runtime API's side to the URL's: status, headers, and pieces as they come.

Two forms: the streamed one (a prelude of JSON, eight NULs, the body), and the whole one (JSON with a status code, or
any other, which is then the body itself).
"""

import asyncio
import base64
import binascii
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from common.targets.aws.emulator.http1 import Headers

PRELUDE_END: Final = bytes(8)
STREAMED: Final = "application/vnd.awslambda.http-integration-response"
_AT_ONCE: Final = 16  # pieces that wait for a client that reads slowly; then the function waits
_MAX_PRELUDE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers."""

    status: int
    headers: Headers


FAILED: Final = Head(
    502, (("content-type", "text/plain"), ("x-amzn-errortype", "InternalServerErrorException"))
)
FAILED_BODY: Final = b"Internal Server Error"


class BrokenOff(Exception):
    """The function has not answered to its end."""


class MalformedResponse(Exception):
    """What the function said is not in a form that its URL takes."""


class Response:
    """One answer. The Runtime API feeds it, the URL reads it."""

    def __init__(self) -> None:
        self.over = False  # whole, or failed
        self.failed = False
        self.head: asyncio.Future[Head | None] = asyncio.get_running_loop().create_future()
        """None: there is none."""
        self._begun = b""
        self._pieces: deque[bytes] = deque()
        self._moved = asyncio.Event()

    async def feed(self, piece: bytes) -> None:
        """Take a piece of the streamed form; waits while the client reads slowly. `MalformedResponse`."""
        if not self.head.done():
            self._begun += piece
            prelude, end, piece = self._begun.partition(PRELUDE_END)
            if not end:
                if len(self._begun) > _MAX_PRELUDE:
                    raise MalformedResponse("no end of the prelude")
                return
            self.head.set_result(_head_of(prelude))
        if piece:
            await self._put(piece)

    def end(self) -> None:
        """The streamed form is whole."""
        if not self.head.done():
            raise MalformedResponse("no prelude")
        self.over = True
        self._moved.set()

    async def answer(self, payload: bytes) -> None:
        """Take the whole form."""
        head, body = whole_of(payload)
        self.head.set_result(head)
        await self._put(body)
        self.end()

    def fail(self) -> None:
        """There is no more: the client gets a 502, or a body that is cut."""
        if not self.over:
            self.over = self.failed = True
            if not self.head.done():
                self.head.set_result(None)
            self._moved.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """All there are; `BrokenOff`."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._moved.set()
                yield piece
            if self.failed:
                raise BrokenOff
            if self.over:
                return
            await self._move()

    async def _put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._moved.set()
        while len(self._pieces) > _AT_ONCE and not self.failed:
            await self._move()

    async def _move(self) -> None:
        self._moved.clear()
        await self._moved.wait()


def _head_of(prelude: bytes) -> Head:
    try:
        said = json.loads(prelude)
        status, headers, cookies = said["statusCode"], said.get("headers", {}), said.get("cookies", [])
        return Head(int(status), _headers(headers, cookies))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MalformedResponse("not a prelude") from None


def whole_of(payload: bytes) -> tuple[Head, bytes]:
    """Of a function that does not stream. `MalformedResponse`."""
    try:
        said = json.loads(payload)
    except ValueError:
        raise MalformedResponse("not JSON") from None
    if not isinstance(said, dict) or "statusCode" not in said:
        return Head(200, (("content-type", "application/json"),)), payload
    try:
        body = said.get("body") or ""
        raw = base64.b64decode(body, validate=True) if said.get("isBase64Encoded") else body.encode()
        return Head(
            int(said["statusCode"]), _headers(said.get("headers") or {}, said.get("cookies") or ())
        ), raw
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise MalformedResponse("not a response") from None


def _headers(headers: dict[str, Any], cookies: Any) -> Headers:
    named = [(name.lower(), str(value)) for name, value in headers.items()]
    return (*named, *(("set-cookie", str(each)) for each in cookies))
