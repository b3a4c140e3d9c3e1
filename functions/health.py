"""`GET /health`: whether the function runs; it asks nobody else. `GET /health/ready`: whether it can do its part."""

import json
import logging
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from common.http.function import Function
from common.ports import Background, BreakerStore, Clock, KeyStore, UserStore

router = APIRouter()
_OK: Final = b'{"status":"ok"}'
_CHECK: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["name", "ok", "ms"],
    "properties": {
        "name": {"enum": ["storage", "providers"]},
        "ok": {"type": "boolean"},
        "ms": {"type": "number"},
        "problem": {"type": "string"},
    },
}
_BREAKER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["provider", "model", "state"],
    "properties": {
        "provider": {"type": "string"},
        "model": {"type": "string", "description": "By the provider's own name."},
        "state": {"enum": ["open", "half_open"]},
    },
}
_DETAILS: Final = {
    "checks": {"type": "array", "items": _CHECK},
    "breakers": {"type": "array", "items": _BREAKER, "description": "Those that are not closed."},
    "degraded": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Models none of whose targets has a closed one.",
    },
}


def _answer(status: str, **more: Any) -> dict[str, Any]:
    properties = {"status": {"const": status}, **more}
    schema = {"type": "object", "required": ["status"], "properties": properties}
    return {"description": status.capitalize(), "content": {"application/json": {"schema": schema}}}


_log = logging.getLogger("sluice.health")


@router.get(
    "/health", summary="Whether the gateway runs", openapi_extra={"responses": {"200": _answer("ok")}}
)
async def health() -> Response:
    """Answer."""
    return Response(_OK, media_type="application/json")


@router.get(
    "/health/ready",
    summary="Whether the gateway can answer requests",
    openapi_extra={
        "security": [{}, {"key": []}],
        "responses": {"200": _answer("ready", **_DETAILS), "503": _answer("not ready", **_DETAILS)},
    },
)
async def ready(request: Request) -> Response:
    """Ready or not, within two seconds. It needs no key; one with `admin` is told what was looked at, and who fails."""
    # here, for it loads what only the other functions need at their start
    from common.http.readiness import needs_of, providers_of

    needs, is_admin = await needs_of(request)
    problems = [f"{need.name}: {need.problem}" for need in needs if need.problem]
    if problems:
        _log.warning("not ready: %s", " ".join(problems))
    answer: dict[str, Any] = {"status": "not ready" if problems else "ready"}
    if is_admin:
        answer["checks"] = [
            {"name": need.name, "ok": need.problem is None, "ms": need.ms}
            | ({"problem": need.problem} if need.problem else {})
            for need in needs
        ]
        answer |= await providers_of(request, ask_others=not problems)
    return Response(json.dumps(answer), 503 if problems else 200, media_type="application/json")


function = Function(
    name="health", router=router, needs=(KeyStore, UserStore, BreakerStore, Background, Clock)
)
