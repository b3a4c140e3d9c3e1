"""docs/api.md: fresh, complete, and true."""

import json
import re
from typing import Any, Final

import jsonschema_rs
import pytest

from infra.api_page import PAGE, document, page

DOCUMENT: Final = document()
TEXT: Final = PAGE.read_text()
OPERATIONS: Final = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def section(title: str) -> str:
    """What stands under a heading."""
    [found] = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def test_fresh() -> None:
    """The committed page is the one that comes out; `.venv/bin/python -m infra.api_page` writes it."""
    assert page() == TEXT


@pytest.mark.parametrize("title", OPERATIONS)
def test_every_operation(title: str) -> None:
    """Each has its permission, its parameters, its body and its errors."""
    operation, told = OPERATIONS[title], section(title)
    assert operation["summary"] in told
    for parameter in operation.get("parameters", ()):
        assert f"| `{parameter['name']}` | {parameter['in']} |" in told
    for status in operation["responses"].keys() - {"default"}:
        assert f"Answer {status}, `" in told if status < "300" else f"| {status} | " in told
    for security in operation.get("security", ()):
        for permission in security.get("key", ()):
            assert f"a key with the permission `{permission}`." in told
    assert ("Needs a key" in told) == ({"401", "403"} <= operation["responses"].keys())
    assert ("Body: [" in told) == ("requestBody" in operation)


@pytest.mark.parametrize("title", OPERATIONS)
def test_examples_fit(title: str) -> None:
    """The example of an answer is one that the document allows."""
    for status, response in OPERATIONS[title]["responses"].items():
        content = response["content"].get("application/json")
        if status < "300" and content is not None:
            [example] = re.findall(
                rf"^Answer {status}, `application/json`.*?^```json\n(.*?)^```",
                section(title),
                re.MULTILINE | re.DOTALL,
            )
            schema: dict[str, Any] = {**content["schema"], "components": DOCUMENT["components"]}
            jsonschema_rs.validate(schema, json.loads(example))


def test_every_shape_has_its_fields() -> None:
    """Whatever a body or an answer may have is in the table of its shape."""
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field in schema.get("properties", {}) if name != "Error" else ():
            shape = TEXT.partition(f"\n### {name}\n")[2].partition("\n#")[0]
            assert f"| `{field}` |" in shape, f"{name}.{field}"
