"""`FetchUpstream` for who is outside: an exchange is opened, read, and left, by its number."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from common.adapters.cloudflare.fetch import FetchUpstream
from common.model.errors import UpstreamError
from common.ports import Timeouts, UpstreamRequest, UpstreamResponse

_contexts: Final[dict[int, AbstractAsyncContextManager[UpstreamResponse]]] = {}
_responses: Final[dict[int, UpstreamResponse]] = {}
_running: Final[dict[int, asyncio.Task[Any]]] = {}


def door() -> Callable[[str], Awaitable[str]]:
    """From what to do, as JSON, to the members of an answer."""
    return _call


async def _call(text: str) -> str:
    what, number, *rest = json.loads(text)
    try:
        return f'"value": {json.dumps(await _ACTS[what](number, *rest))}'
    except UpstreamError as error:
        return f'"error": {json.dumps(type(error).__name__)}'
    except asyncio.CancelledError:  # by `leave`
        return '"error": "cancelled"'


async def _send(number: int, asked: dict[str, Any]) -> Any:
    request = UpstreamRequest(
        asked["method"],
        asked["url"],
        tuple((name, value) for name, value in asked["headers"]),
        base64.b64decode(asked["body"]),
        Timeouts(**asked["timeouts"]),
    )
    context = FetchUpstream().send(request)
    response = await _interruptible(number, context.__aenter__())
    _contexts[number], _responses[number] = context, response
    return {"status": response.status, "headers": dict(response.headers)}


async def _read(number: int) -> str:
    return base64.b64encode(await _interruptible(number, _responses[number].read())).decode()


async def _leave(number: int) -> None:
    if running := _running.get(number):
        running.cancel()
        await asyncio.wait([running])
    _responses.pop(number, None)
    if context := _contexts.pop(number, None):
        await context.__aexit__(None, None, None)


async def _interruptible(number: int, work: Awaitable[Any]) -> Any:
    _running[number] = asyncio.ensure_future(work)
    try:
        return await _running[number]
    finally:
        del _running[number]


_ACTS: Final[dict[str, Callable[..., Awaitable[Any]]]] = {"send": _send, "read": _read, "leave": _leave}
