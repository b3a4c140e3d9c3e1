"""The application: the functions' routes, and around them what holds for every request."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common import __version__
from common.gateway.gateway import Gateway
from common.http.errors import HttpAnswers, answer_error, answer_validation, note
from common.http.function import DirectRoute, Endpoint, Function
from common.http.headers import (
    AnswerHeaders,
    RawHeaders,
    client_request_id,
    client_session_id,
    trace_id,
)
from common.http.patience import Patience
from common.http.site import Site
from common.model.admission import HOLD_S
from common.model.errors import InvalidRequest, SluiceError
from common.model.ids import new_request_id
from common.settings import LogBodies
from common.telemetry.log_format import tell
from common.telemetry.request_facts import RequestFacts

_ONCE: Final = (b"host", b"authorization", b"content-type", b"content-length")

_log = logging.getLogger("sluice")


def create_app(gateway: Gateway, functions: Iterable[Function], patience: Patience | None = None) -> ASGIApp:
    """An ASGI application that serves the functions; targets set `scope["sluice"]` for each request.

    `patience`: with bodies, where requests may not share the usual one's timer.
    """
    server = gateway.settings.server
    served = list(functions)
    if server.docs:
        from common.http.reference import reference

        served.append(reference(served))
    headers = AnswerHeaders(server.cors_origins)
    http_answers = HttpAnswers(Site(served, server.base_urls), headers)
    app = FastAPI(
        title="Sluice",
        version=__version__,
        openapi_url=None,
        redirect_slashes=False,  # it would redirect to whatever the Host header says
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={
            SluiceError: answer_error,
            HTTPException: http_answers,
            RequestValidationError: answer_validation,
            Exception: answer_error,  # else the framework answers in words of its own, and raises it still
        },
    )
    direct: dict[tuple[str, str], Endpoint] = {}
    for function in served:
        app.include_router(function.router)
        for route in function.router.routes:
            if isinstance(route, DirectRoute):
                direct |= {(method, route.path): route.endpoint for method in route.methods or ()}
    edge = Edge(app, gateway, direct, headers, http_answers, patience=patience or Patience())
    if server.log_bodies is LogBodies.OFF:
        return edge
    from common.http.body_log import LoggedBodies

    return LoggedBodies(edge, only_errors=server.log_bodies is LogBodies.ERRORS)


class Edge:
    """Gives each request its id, puts our headers on each answer, lets no exception out, and tells the log."""

    def __init__(
        self,
        app: ASGIApp,
        gateway: Gateway,
        direct: Mapping[tuple[str, str], Endpoint],
        headers: AnswerHeaders,
        http_answers: HttpAnswers,
        *,
        patience: Patience,
    ) -> None:
        """`direct`: endpoints by method and path that are called without the framework between."""
        self._app = app
        self._gateway = gateway
        self._direct = direct
        self._headers = headers
        self._http_answers = http_answers
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        gateway, method = self._gateway, scope["method"]
        clock = gateway.clock
        started = clock.monotonic()
        headers: RawHeaders = dict(scope["headers"])
        facts = RequestFacts(
            new_request_id(clock.now_ms() // 1000 + HOLD_S, gateway.rng),
            client_request_id(headers),
            method,
            scope["path"],
            client_session_id(headers),
            trace_id(headers),
        )
        scope.setdefault("state", {}).update(
            gateway=gateway, facts=facts, headers=headers, patience=self._patience
        )
        if method == "HEAD":
            scope["method"] = "GET"

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                facts.status = message["status"]
                facts.first_byte_s = clock.monotonic() - started
                ours = self._headers.of(facts, headers, https=scope.get("scheme") == "https")
                message["headers"] = [*message.get("headers", ()), *ours]
            elif method == "HEAD":
                message["body"] = b""
            await send(message)

        try:
            _refuse_ambiguous(scope, headers)
            endpoint = self._direct.get((scope["method"], scope["path"]))
            if endpoint is None:
                await self._app(scope, receive, send_on)
            else:
                response = await endpoint(Request(scope, receive))
                await response(scope, receive, send_on)
        except Exception as error:  # noqa: BLE001 - logged once, and answered as ours
            response = await self._answer(Request(scope), error)
            if not facts.status:
                await response(scope, receive, send_on)
        except asyncio.CancelledError as error:
            note(facts, error)
            raise
        finally:
            facts.total_s = clock.monotonic() - started
            tell(facts)

    async def _answer(self, request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return await self._http_answers(request, error)
        if not isinstance(error, SluiceError):
            _log.error("request %s failed", request.scope["state"]["facts"].request_id, exc_info=error)
        return await answer_error(request, error)


def _refuse_ambiguous(scope: Scope, headers: RawHeaders) -> None:
    """A header that another reader may take differently: RFC 9112, section 3.2, and RFC 9110, section 5.3."""
    if len(headers) != len(scope["headers"]):
        names = [name for name, _ in scope["headers"]]
        for name in _ONCE:
            if names.count(name) > 1:
                raise InvalidRequest(f"The header {name.decode()} is there twice.", code="repeated_header")
