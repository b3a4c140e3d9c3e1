"""docs/api.md, from the OpenAPI document: `.venv/bin/python -m infra.api_page` writes it anew.

tests/unit/http/test_api_page.py holds the page to the document.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from common.http.openapi import describe
from common.targets.registry import FUNCTIONS, function_of
from common.wire.openai.errors import INTERNAL, KINDS

PAGE: Final = Path(__file__).parents[1] / "docs/api.md"
_NOBODY_LEFT: Final = 499  # told to the log alone
_HEAD: Final = """\
# API reference

<!-- Written by `python -m infra.api_page` from the OpenAPI document; edits are lost. -->

Paths are below the address of the gateway, or of the function that serves them. The same for machines is at
`/openapi.json`, where [`[server] docs`](configuration.md#server-bounds-for-all-requests) is on.

A key goes into `Authorization: Bearer sk-sluice-...`. Bodies are JSON. A field that is not named here is an error in a
body about keys; in one of `POST /v1/chat/completions` it goes on to the provider. A path that there is not is a
404 `unknown_url`, a wrong method a 405 `method_not_allowed`; `HEAD` goes wherever `GET` does, and `OPTIONS` everywhere.
"""
_EXAMPLES: Final[Mapping[str, Any]] = {
    "api_key_id": "key_7f3k9q2m4x1z",
    "batch": None,
    "completion": "0.0000006",
    "context_length": 128_000,
    "cost": "0.000144",
    "created_ms": 1_795_600_000_000,
    "end_time": 1_795_651_200,
    "end_user": None,
    "ended": "ok",
    "expires_ms": None,
    "grace_until_ms": None,
    "held": "0.000441",
    "key": "sk-sluice-...",
    "last_used_ms": 1_795_600_000_000,
    "max_output_tokens": 16_384,
    "model": "gpt-4o-mini",
    "models": None,
    "name": "laptop",
    "next_page": None,
    "origins": None,
    "permissions": ["chat", "models", "usage:read"],
    "plan": "standard",
    "project_id": None,
    "prompt": "0.00000015",
    "provider": "openrouter",
    "provisional": None,
    "resets_at": "2026-11-25T12:00:42Z",
    "service_tier": None,
    "session_id": None,
    "start_time": 1_795_564_800,
    "started_ms": 1_795_600_000_000,
    "trace_id": None,
    "user": "alice",
    "user_id": "alice",
    "value": "0.000144",
}
_LIMITS: Final = {"requests_per_minute": 60, "budget_month": "50.00"}
_IDS: Final = {"Model": "gpt-4o-mini", "Receipt": "req_tgm4a23k9q2m4x1z"}
_COMPLETION: Final = {
    "id": "gen-1795600000-abc",
    "object": "chat.completion",
    "created": 1_795_600_000,
    "model": "openai/gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}


def document() -> dict[str, Any]:
    """The OpenAPI document of all functions."""
    functions = [function_of(name) for name in FUNCTIONS]
    return describe([route for function in functions for route in function.router.routes], functions)


class _Page:
    """The page of one document."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._paths = described["paths"]
        self._schemas = described["components"]["schemas"]

    def lines(self) -> Iterator[str]:
        yield _HEAD
        yield from self._common()
        for path in sorted(self._paths):
            for method, operation in self._paths[path].items():
                yield from self._operation(f"{method.upper()} {path}", operation)
        yield from self._shapes()

    def _common(self) -> Iterator[str]:
        operation = next(iter(next(iter(self._paths.values())).values()))
        yield "## Errors and headers\n"
        yield "Every failure, whatever its status, is OpenAI's envelope:\n"
        error = {"message": "`model` is required.", "type": "invalid_request_error"}
        rest = {"param": "model", "code": "missing_required_parameter"}
        yield _block({"error": {**error, **rest}})
        kinds = [(kind, cls.__doc__) for cls, kind in KINDS.items() if kind.status != _NOBODY_LEFT]
        kinds.append((INTERNAL, "The gateway failed."))
        yield from _table(
            ("status", "`type`", "`code`, where the error brings none of its own", "what"),
            [
                (str(kind.status), f"`{kind.type}`", f"`{kind.code}`" if kind.code else "", _sentence(told))
                for kind, told in sorted(kinds, key=lambda each: (each[0].status, each[0].code or ""))
            ],
        )
        yield "Every answer has these headers:\n"
        headers = operation["responses"]["default"]["headers"]
        yield from _table(
            ("header", ""), [(f"`{name}`", each["description"]) for name, each in headers.items()]
        )

    def _operation(self, title: str, operation: Mapping[str, Any]) -> Iterator[str]:
        yield f"## {title}\n"
        yield f"{operation['summary']}. {_joined(operation.get('description', ''))}\n"
        yield f"{_permission(operation)}\n"
        yield from _table(
            ("parameter", "in", "type", ""),
            [
                (
                    f"`{each['name']}`",
                    each["in"],
                    self._type(each["schema"]),
                    _described(each["schema"], is_required=each["required"]),
                )
                for each in operation.get("parameters", ())
            ],
        )
        body = operation.get("requestBody")
        if body is not None:
            [content] = body["content"].values()
            name = _reference(content["schema"])
            yield f"Body: {self._link(name)}.{'' if body['required'] else ' It may be left out.'}\n"
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                yield from self._answer(status, response)
        yield from _table(
            ("status", "error"),
            [
                (status, response["description"])
                for status, response in operation["responses"].items()
                if not status.startswith("2") and status != "default"
            ],
        )

    def _answer(self, status: str, response: Mapping[str, Any]) -> Iterator[str]:
        for kind, content in response["content"].items():
            schema = content["schema"]
            name = _reference(schema)
            told = self._link(name) if name else schema.get("description", "").rstrip(".")
            yield f"Answer {status}, `{kind}`{f': {told}' if told else ''}.\n"
            if kind == "application/json":
                is_open = schema.get("type") == "object" and "properties" not in schema
                yield _block(_COMPLETION if is_open else self._example(schema, name))

    def _shapes(self) -> Iterator[str]:
        yield "## Shapes\n"
        for name, schema in sorted(self._schemas.items()):
            if name == "Error" or "properties" not in schema:
                continue
            yield f"### {name}\n"
            yield f"{_joined(schema.get('description', ''))}\n"
            required = schema.get("required", ())
            yield from _table(
                ("field", "type", ""),
                [
                    (f"`{field}`", self._type(each), _described(each, is_required=field in required))
                    for field, each in schema["properties"].items()
                ],
            )

    def _link(self, name: str) -> str:
        return f"[{name}](#{name.lower()})"

    def _type(self, schema: Mapping[str, Any]) -> str:  # noqa: PLR0911 - one for each form of schema
        """In words, as far as they are short."""
        if name := _reference(schema):
            named = self._schemas[name]
            return self._link(name) if "properties" in named else self._type(named)
        if "anyOf" in schema:
            return " or ".join(dict.fromkeys(self._type(each) for each in schema["anyOf"]))
        if "const" in schema:
            return f"`{json.dumps(schema['const'])}`"
        if "enum" in schema:
            return " or ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
        kind = schema.get("type", "any")
        if isinstance(kind, list):
            return " or ".join(kind)
        if kind == "array":
            return f"array of {self._type(schema['items'])}"
        return f"{kind}{_bounds(schema)}"

    def _example(self, schema: Mapping[str, Any], field: str = "") -> Any:  # noqa: PLR0911 - the same
        """A value as an answer may have it."""
        if name := _reference(schema):
            return self._example(self._schemas[name], name)
        if "enum" in schema:
            return schema["enum"][0]
        if field in _EXAMPLES:
            return _EXAMPLES[field]
        if "anyOf" in schema:
            return self._example(schema["anyOf"][0], field)
        if "const" in schema:
            return schema["const"]
        if "default" in schema:
            return schema["default"]
        match schema.get("type", "string"):
            case "object":
                return self._members(schema, field)
            case "array":
                return [self._example(schema["items"], field.removesuffix("s"))]
            case "integer" | "number":
                return 12
            case "boolean":
                return False
            case _:
                return "..."

    def _members(self, schema: Mapping[str, Any], field: str) -> dict[str, Any]:
        if "properties" not in schema:
            return dict(_LIMITS)
        found = {name: self._example(each, name) for name, each in schema["properties"].items()}
        if found.get("id") == "...":
            found["id"] = _IDS.get(field, "key_7f3k9q2m4x1z")
        return found


def _reference(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _permission(operation: Mapping[str, Any]) -> str:
    match operation.get("security"):
        case None:
            return "Needs no key."
        case [{"key": []}]:
            return "Needs a key, whatever it may do."
        case [{"key": [permission]}]:
            return f"Needs a key with the permission `{permission}`."
        case _:
            return "Needs no key; one with `admin` is told more."


def _described(schema: Mapping[str, Any], *, is_required: bool) -> str:
    """What is said of a field, and what holds without it."""
    inner = next((each["description"] for each in schema.get("anyOf", ()) if "description" in each), "")
    said = [_joined(schema.get("description", inner))]
    if is_required:
        said.insert(0, "Required.")
    elif schema.get("default") is not None and "const" not in schema:
        said.append(f"Else `{json.dumps(schema['default'])}`.")
    return " ".join(filter(None, said))


def _bounds(schema: Mapping[str, Any]) -> str:
    names = {"minimum": "from", "maximum": "to", "minLength": "from", "maxLength": "to"}
    told = [f"{word} {schema[name]:,}" for name, word in names.items() if name in schema]
    unit = " characters" if "maxLength" in schema or "minLength" in schema else ""
    return f", {' '.join(told)}{unit}" if told else ""


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Nothing without a row."""
    if rows:
        lines = [
            heading,
            ["---"] * len(heading),
            *([cell.replace("|", "\\|") for cell in row] for row in rows),
        ]
        yield "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines) + "\n"


def _block(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2)}\n```\n"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _sentence(text: str | None) -> str:
    """The first paragraph."""
    return _joined((text or "").partition("\n\n")[0])


def page() -> str:
    """The whole page."""
    return "\n".join(_Page(document()).lines())


if __name__ == "__main__":
    PAGE.write_text(page())
