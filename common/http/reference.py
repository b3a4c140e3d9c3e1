"""`/openapi.json`, and `/docs`: the same for people. Both only where the configuration turns them on.

The page is HTML without scripts and styles, so it needs nothing from elsewhere and passes our own security headers.
"""

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from common.http.function import Function
from common.http.openapi import describe

NAME: Final = "reference"


def reference(functions: Sequence[Function]) -> Function:
    """The function that serves both, about these functions."""
    router = APIRouter(include_in_schema=False)

    @router.get("/openapi.json")
    async def openapi(_request: Request) -> Response:
        return Response(json.dumps(_document(functions)), media_type="application/json")

    @router.get("/docs")
    async def docs(_request: Request) -> Response:
        return Response("\n".join(_page(_document(functions))), media_type="text/html")

    return Function(name=NAME, router=router, needs=())


def _document(functions: Sequence[Function]) -> dict[str, Any]:
    return describe([route for function in functions for route in function.router.routes], functions)


def _page(document: dict[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    yield f"<title>{escape(info['title'])}</title><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
    yield '<p>The same for machines: <a href="openapi.json">openapi.json</a></p>'
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _operation(f"{method.upper()} {path}", operation)
    yield "<h2>Schemas</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3><pre>{escape(json.dumps(schema, indent=2))}</pre>'


def _operation(title: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{escape(title)}</code></h2><p>{escape(operation.get('summary', ''))}"
    yield ". Needs an API key.</p>" if "security" in operation else ".</p>"
    for name, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body: {escape(name)}, {_schema(content['schema'])}</p>"
    yield "<table><tr><th>status<th>"
    for status, response in sorted(operation["responses"].items()):
        kinds = ", ".join(
            f"{escape(name)} {_schema(content.get('schema', {}))}"
            for name, content in response.get("content", {}).items()
        )
        yield f"<tr><td>{escape(status)}<td>{escape(response['description'])} {kinds}"
    yield "</table>"


def _schema(schema: dict[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    return f'<a href="#{escape(name)}">{escape(name)}</a>' if name else escape(schema.get("description", ""))
