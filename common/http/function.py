"""What a module in `functions/` exports."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class DirectRoute(APIRoute):
    """A route of the hot path: described to FastAPI like any other, but called by the edge itself.

    Its path has no parameters, its endpoint takes the `Request` alone and returns a `Response`. FastAPI's way to such
    an endpoint (seven middlewares, a match against each route, the resolving of no dependencies) costs more than all
    the rest of a short request; the measurement is in docs/adr/0002-direct-routes.md.
    """


@dataclass(frozen=True, slots=True)
class Function:
    """An endpoint that can be deployed by itself. Targets read it; it knows nothing of them."""

    name: str  # as in `sluice serve --function` and in the names of deployed functions
    router: APIRouter
    needs: tuple[type, ...]  # the ports that its requests use; grants and bindings are held against it
    bodies: tuple[type[BaseModel], ...] = ()  # that its routes read themselves, for the OpenAPI document
