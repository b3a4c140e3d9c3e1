"""The OpenAPI document: complete enough to make a client of, and to hold answers against."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from common.http.reference import reference
from common.model.principal import Permission
from common.wire.openai.chat import ChatRequest
from common.wire.openai.errors import KINDS
from tests.support.gateway import load_functions

FUNCTIONS = load_functions()


async def served(path: str) -> bytes:
    """What the reference serves at this path."""
    [endpoint] = [each.endpoint for each in reference(FUNCTIONS).router.routes if each.path == path]  # type: ignore[attr-defined] # all are APIRoutes
    response = await endpoint(None)
    return bytes(response.body)


async def document() -> dict[str, Any]:
    """The document."""
    found: dict[str, Any] = json.loads(await served("/openapi.json"))
    return found


def operations(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation, by method and path."""
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def references(value: Any) -> Iterator[str]:
    """All that is referred to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


async def test_references_resolve() -> None:
    """Whatever is referred to is there."""
    found = await document()
    names = set(references(found))
    assert "#/components/schemas/Error" in names
    for name in names:
        value: Any = found
        for part in name.removeprefix("#/").split("/"):
            value = value[part]


async def test_body_of_a_completion() -> None:
    """The body of a completion is what the gateway checks: its fields, their bounds, and more may be sent."""
    found = await document()
    operation = found["paths"]["/v1/chat/completions"]["post"]
    assert operation["requestBody"]["required"]
    [content] = operation["requestBody"]["content"].items()
    assert content == ("application/json", {"schema": {"$ref": "#/components/schemas/ChatRequest"}})
    schema = found["components"]["schemas"]["ChatRequest"]
    assert schema["properties"].keys() == ChatRequest.model_fields.keys()
    assert schema["required"] == ["model", "messages"]
    assert schema.get("additionalProperties", True) is True
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}


async def test_every_failure_is_described() -> None:
    """Each status that an error of ours can have is described where it can come, and any other is an error too."""
    found = await document()
    responses = found["paths"]["/v1/chat/completions"]["post"]["responses"]
    left = 499  # nobody is there to see it
    assert {str(kind.status) for kind in KINDS.values()} - {str(left)} <= responses.keys()
    for name, operation in operations(found):
        assert "default" in operation["responses"], name
        assert "422" not in operation["responses"], name
        for status, response in operation["responses"].items():
            assert "x-request-id" in response["headers"], name
            if not status.startswith("2") and (name, status) != ("get /health/ready", "503"):
                [schema] = [content["schema"] for content in response["content"].values()]
                assert schema == {"$ref": "#/components/schemas/Error"}, name


async def test_key() -> None:
    """What needs a key says so, and with which permission; only that, and what every key may do has none."""
    found = await document()
    assert found["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    needed = {
        name: operation["security"][0]["key"]
        for name, operation in operations(found)
        if len(operation.get("security", ())) == 1
    }
    behind = needed.keys()
    assert [name for name, permissions in needed.items() if not permissions] == ["get /v1/keys/me"]
    assert {each for permissions in needed.values() for each in permissions} < {
        each.value for each in Permission
    }
    assert {name for name, _ in operations(found)} - behind == {"get /health", "get /health/ready"}
    assert len(behind) >= len({Permission.CHAT, Permission.MODELS})
    for name, operation in operations(found):
        assert ({"401", "403"} <= operation["responses"].keys()) == (name in behind)


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep both."""
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


async def test_page() -> None:
    """The page for people has every operation and schema, and nothing that our security headers forbid."""
    page = (await served("/docs")).decode()
    tags = Tags()
    tags.feed(page)
    assert tags.names.isdisjoint({"script", "style", "link", "img", "iframe", "form"})
    assert tags.attributes == {"charset", "content", "href", "id", "lang", "name"}
    for name, _ in operations(await document()):
        method, _, path = name.partition(" ")
        assert f"{method.upper()} {path}" in page


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_not_described(path: str) -> None:
    """The reference does not describe itself."""
    assert path not in (await document())["paths"]
