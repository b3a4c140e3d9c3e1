"""Lambda's Runtime API as a streaming ASGI server: the loop. `bootstrap.py` starts it.

Ask for an invocation, let the application answer it, finish the work it left behind, ask for the next. The rules:

- The client has everything when the body has ended; the invocation ends, and the process may freeze, only when the
  next one is asked for. What runs in between is billed, but the client does not wait for it.
- A connection that was kept may have been closed while the process was frozen: it is replaced, once. Where no
  invocation can be had, nothing mends that from inside: the process ends, and Lambda starts another.
- An invocation's id means nothing here but where its answer goes: one that comes again is answered again. What must
  happen once is keyed by the gateway's own request id.

Protocol: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html (November 2026).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from common.adapters.background import TaskBackground
from common.gateway.context import RequestContext
from common.ports import Clock
from common.targets.aws.asgi import Application
from common.targets.aws.connection import INVOCATION, Answer, Connection
from common.targets.aws.exchange import ERROR, TAKEN, Exchange, Invocation, error_body
from common.targets.aws.scope import is_http, scope_of

DRAIN_MARGIN_S: Final = 0.5  # kept free before the deadline: frozen work can go on, killed work cannot
_UNWIND_S: Final = 0.1  # for the call that is running when the process is told to end

Begin = Callable[[Invocation], None]
Trigger = Callable[[Any], Awaitable[Any]]

_log = logging.getLogger("sluice.aws")


def _ignore(*_: Invocation) -> None:
    """For those who need not know."""


async def answer_nothing(_: Any) -> None:
    """To an event that is no HTTP request, where nothing else is done with such."""


async def serve(
    app: Application,
    api: str,
    background: TaskBackground,
    clock: Clock,
    *,
    begin: Begin = _ignore,
    end: Callable[[], None] = _ignore,
    trigger: Trigger = answer_nothing,
) -> None:
    """Serve invocations from the Runtime API at `api` (host:port), one after the other, for ever.

    `begin` is told of each first, `end` when all is done and the process may freeze. `trigger` takes events that are no
    HTTP requests; it returns what JSON can tell.
    """
    while True:
        connection = await Connection.open(api)
        kept = False
        try:
            while not connection.is_aborted():
                try:
                    invocation = await _next(connection)
                except (OSError, EOFError) as error:
                    if not kept:
                        raise
                    _log.info("the Runtime API has closed a connection that was kept: %r", error)
                    break
                begin(invocation)
                await _serve_one(app, trigger, connection, invocation, background)
                await _finish(background, invocation, clock)
                end()
                kept = True
        finally:
            connection.abort()


async def _next(connection: Connection) -> Invocation:
    answer = await connection.request("GET", f"{INVOCATION}/next")
    if answer.status != 200:
        raise RuntimeError(f"/next answered {answer.status}")
    headers = answer.headers
    guard = headers.get("lambda-runtime-invocation-id")
    return Invocation(
        id=headers["lambda-runtime-aws-request-id"],
        deadline_ms=int(headers["lambda-runtime-deadline-ms"]),
        guard=f"Lambda-Runtime-Invocation-Id: {guard}\r\n" if guard else "",
        trace_id=headers.get("lambda-runtime-trace-id"),
        body=answer.body,
    )


async def _serve_one(
    app: Application,
    trigger: Trigger,
    connection: Connection,
    invocation: Invocation,
    background: TaskBackground,
) -> None:
    try:
        answer = await _respond(app, trigger, connection, invocation, background)
        if answer.status != TAKEN or connection.is_aborted():
            _log.warning("the platform did not take the response to %s: %d", invocation.id, answer.status)
            connection.abort()
    except (OSError, EOFError) as error:
        _log.warning("no connection for the response to %s: %r", invocation.id, error)
        connection.abort()


async def _finish(background: TaskBackground, invocation: Invocation, clock: Clock) -> None:
    left_s = (invocation.deadline_ms - clock.now_ms()) / 1000 - DRAIN_MARGIN_S
    if unfinished := await background.drain(max(left_s, 0.0)):
        _log.warning("%d pieces of background work outlast %s", unfinished, invocation.id)


async def _respond(
    app: Application,
    trigger: Trigger,
    connection: Connection,
    invocation: Invocation,
    background: TaskBackground,
) -> Answer:
    try:
        event = invocation.event()
    except (ValueError, RecursionError):
        _log.exception("the event of %s is not JSON", invocation.id)
        return await _fail(connection, invocation, "Runtime.UnmarshalError")
    if not is_http(event):
        return await _trigger(trigger, connection, invocation, event)
    exchange = Exchange(connection, invocation, event)
    context = RequestContext(background, exchange.gone, invocation.deadline_ms)
    failure = await _run(app, exchange, event, context)
    if not exchange.gone.is_set() and (failure or not exchange.over.is_set()):
        _log.error("no whole response to %s from the application", invocation.id, exc_info=failure)
    return await exchange.finish(failure)


async def _trigger(trigger: Trigger, connection: Connection, invocation: Invocation, event: Any) -> Answer:
    try:
        body = json.dumps(await trigger(event)).encode()
    except Exception as error:
        _log.exception("the event of %s was not dealt with", invocation.id)
        return await _fail(connection, invocation, f"Runtime.{type(error).__name__}")
    headers = f"Content-Length: {len(body)}\r\n{invocation.guard}"
    return await connection.request("POST", f"{INVOCATION}/{invocation.id}/response", headers, body)


async def _fail(connection: Connection, invocation: Invocation, kind: str) -> Answer:
    """The platform may come again with an event that nobody waits for. The failure's own words stay in the log."""
    body = error_body(kind, "The invocation failed: see the log.")
    headers = f"{ERROR}Type: {kind}\r\nContent-Length: {len(body)}\r\n{invocation.guard}"
    return await connection.request("POST", f"{INVOCATION}/{invocation.id}/error", headers, body)


async def _run(
    app: Application, exchange: Exchange, event: Mapping[str, Any], context: RequestContext
) -> BaseException | None:
    """Call the application; what it raised. In a task, so that its context variables do not reach the next call."""

    async def call() -> None:
        await app(scope_of(event) | {"sluice": context}, exchange.receive, exchange.send)

    task = asyncio.get_running_loop().create_task(call())
    try:
        await asyncio.wait({task})
    except (
        asyncio.CancelledError
    ):  # the process is ending: what was used is still to be handed to the background
        task.cancel()
        await asyncio.wait({task}, timeout=_UNWIND_S)
        raise
    return asyncio.CancelledError() if task.cancelled() else task.exception()
