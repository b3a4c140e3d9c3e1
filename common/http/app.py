"""The application: the functions' routes, and around them what holds for every request."""

import logging
from collections.abc import Iterable, Mapping

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common import __version__
from common.gateway.call import HOLD_S
from common.gateway.gateway import Gateway
from common.http.errors import answer_error, answer_http_exception, error_headers
from common.http.function import DirectRoute, Endpoint, Function
from common.model.errors import SluiceError
from common.model.ids import new_request_id
from common.wire.openai.errors import INTERNAL, envelope_of

_log = logging.getLogger("sluice")


def create_app(gateway: Gateway, functions: Iterable[Function]) -> ASGIApp:
    """An ASGI application that serves the functions; targets set `scope["sluice"]` for each request."""
    app = FastAPI(
        title="Sluice",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={SluiceError: answer_error, HTTPException: answer_http_exception},
    )
    direct: dict[tuple[str, str], Endpoint] = {}
    for function in functions:
        app.include_router(function.router)
        for route in function.router.routes:
            if isinstance(route, DirectRoute):
                direct |= {(method, route.path): route.endpoint for method in route.methods or ()}
    return Edge(app, gateway, direct)


class Edge:
    """Gives each request its id, puts our headers on each answer, and lets no exception out."""

    def __init__(self, app: ASGIApp, gateway: Gateway, direct: Mapping[tuple[str, str], Endpoint]) -> None:
        """`direct`: endpoints by method and path that are called without the framework between."""
        self._app = app
        self._gateway = gateway
        self._direct = direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        gateway = self._gateway
        request_id = new_request_id(gateway.clock.now_ms() // 1000 + HOLD_S, gateway.rng)
        scope.setdefault("state", {}).update(request_id=request_id, gateway=gateway)
        started = False

        async def send_on(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            endpoint = self._direct.get((scope["method"], scope["path"]))
            if endpoint is None:
                await self._app(scope, receive, send_on)
            else:
                await _answer_directly(endpoint, Request(scope, receive), send_on)
        except Exception as error:  # noqa: BLE001 - logged once, and answered as ours
            _log.exception("request %s failed", request_id)
            if not started:
                body = envelope_of(error)
                start = {
                    "type": "http.response.start",
                    "status": INTERNAL.status,
                    "headers": error_headers(error, body),
                }
                await send_on(start)
                await send_on({"type": "http.response.body", "body": body})


async def _answer_directly(endpoint: Endpoint, request: Request, send: Send) -> None:
    try:
        response = await endpoint(request)
    except SluiceError as error:
        response = await answer_error(request, error)
    await response(request.scope, request.receive, send)
