"""The OpenAPI document: what routes say of themselves, and what holds for all of them.

Nothing of it is made before somebody asks for it: schemas of bodies cost more than all other imports of a function.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.routing import BaseRoute

from common import __version__
from common.http.function import Function
from common.model.principal import Permission

_REFERENCE: Final = "#/components/schemas/{model}"
_KEY: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key of this gateway: `sk-sluice-...`.",
}
# of what needs a key, by function; OpenAPI calls it a role: https://spec.openapis.org/oas/v3.1.0#security-requirement-object
_PERMISSIONS: Final = {
    "chat_completions": Permission.CHAT,
    "keys": Permission.KEYS_WRITE,
    "models": Permission.MODELS,
    "usage": Permission.USAGE_READ,
}
_FOR_EVERY_KEY: Final = frozenset({"/v1/keys/me"})
_STRING_OR_NULL: Final = {"type": ["string", "null"]}
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "description": "For the developer who reads it."},
                "type": {"type": "string"},
                "param": {**_STRING_OR_NULL, "description": "The field that is wrong."},
                "code": {**_STRING_OR_NULL, "description": "For programs to go by."},
            },
        }
    },
}
_HEADERS: Final = {
    "x-request-id": "The gateway's id of the request.",
    "x-client-request-id": "The client's own id, if it sent one as `x-client-request-id` or `x-request-id`.",
    "openai-processing-ms": "Milliseconds until the answer began.",
}
_ERRORS: Final = {
    400: "The request is wrong, asks for more than a limit allows at all, or was rejected by the provider.",
    401: "There is no valid API key.",
    403: "The key may not do this.",
    404: "There is no such model, or no such thing.",
    408: "The body did not come in time.",
    413: "The body is longer than this gateway takes.",
    415: "The body is said to be something other than JSON.",
    429: "A limit, a budget or the provider asks for patience; `code` tells which, `retry-after` how long.",
    502: "The provider could not be reached, or its answer was none.",
    503: "The gateway cannot do its part just now.",
    504: "The provider, or the platform's time, ran out.",
}


def behind_key(
    *errors: int, body: type[BaseModel] | None = None, body_required: bool = True, **answers: Any
) -> dict[str, Any]:
    """`openapi_extra` of a route that needs a key: its own errors besides those of the key, its body.

    `answers`: the content of its good answer, by kind: `json` or `stream`.
    """
    responses: dict[str, Any] = {str(status): _error(status) for status in sorted({401, 403, 503, *errors})}
    if answers:
        kinds = {"json": "application/json", "stream": "text/event-stream"}
        responses["200"] = {"content": {kinds[kind]: {"schema": schema} for kind, schema in answers.items()}}
    extra: dict[str, Any] = {"security": [{"key": []}], "responses": responses}
    if body is not None:
        schema = {"$ref": _REFERENCE.format(model=body.__name__)}
        extra["requestBody"] = {
            "required": body_required,
            "content": {"application/json": {"schema": schema}},
        }
    return extra


def _error(status: int | None = None) -> dict[str, Any]:
    description = "Any other failure." if status is None else _ERRORS[status]
    schema = {"$ref": _REFERENCE.format(model="Error")}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def describe(routes: Iterable[BaseRoute], functions: Sequence[Function]) -> dict[str, Any]:
    """The document of an application with these routes, which are the functions'."""
    document = get_openapi(
        title="Sluice",
        version=__version__,
        summary="An OpenAI-compatible LLM gateway.",
        routes=list(routes),
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for framework in ("HTTPValidationError", "ValidationError"):  # it would be answered by ours
        schemas.pop(framework, None)
    schemas["Error"] = _ERROR
    shapes: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (shape, "validation") for function in functions for shape in function.bodies
    ]
    schemas |= models_json_schema(shapes, ref_template=_REFERENCE)[1].get("$defs", {})
    components["securitySchemes"] = {"key": _KEY}
    for path in document["paths"].values():
        for operation in path.values():
            _complete(operation["responses"])
    for function in functions:
        _require(function, document["paths"])
    return document


def _require(function: Function, paths: dict[str, Any]) -> None:
    """The permission that a key needs for each path of the function."""
    permission = _PERMISSIONS.get(function.name)
    for route in function.router.routes:
        path = getattr(route, "path_format", None)
        if permission is not None and path in paths and path not in _FOR_EVERY_KEY:
            for operation in paths[path].values():
                operation["security"] = [{"key": [permission.value]}]


def _complete(responses: dict[str, Any]) -> None:
    """What every operation answers, and with which headers."""
    responses.pop("422", None)
    responses["default"] = _error()
    for response in responses.values():
        response["headers"] = {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in _HEADERS.items()
        }
