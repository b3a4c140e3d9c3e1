"""`parse`: what of a chat request is refused, naming the field, and what goes on untouched."""

import json
import tracemalloc
from typing import Any

import pytest

from common.http.request import parse
from common.model.errors import InvalidRequest
from common.wire.openai.chat import ChatRequest

MESSAGE = {"role": "user", "content": "Say hello."}
REQUEST: dict[str, Any] = {"model": "m", "messages": [MESSAGE]}

NULL, BOOL, INT, FLOAT, TEXT = None, True, 5, 0.5, "x"
TEXTS, OBJECTS, OBJECT, NUMBERS = ["x"], [{"role": "user"}], {"a": "x"}, {"1": 0.5}
VALUES: dict[str, Any] = {
    "null": NULL,
    "boolean": BOOL,
    "integer": INT,
    "fraction": FLOAT,
    "text": TEXT,
    "texts": TEXTS,
    "objects": OBJECTS,
    "object": OBJECT,
    "numbers by name": NUMBERS,
    "nested": [["x"]],
    "empty array": [],
    "empty object": {},
}
BOOLEAN, INTEGER, NUMBER, STRING = {"boolean"}, {"integer"}, {"integer", "fraction"}, {"text"}
STRINGS, ARRAY_OF_OBJECTS = {"texts", "empty array"}, {"objects", "empty array"}
ANY_OBJECT = {"object", "numbers by name", "empty object"}
FIELDS: dict[str, set[str]] = {
    "model": STRING,
    "messages": {"objects"},
    "stream": BOOLEAN,
    "stream_options": ANY_OBJECT,
    "max_tokens": INTEGER,
    "max_completion_tokens": INTEGER,
    "n": INTEGER,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "frequency_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "seed": INTEGER,
    "stop": STRING | STRINGS,
    "logprobs": BOOLEAN,
    "top_logprobs": INTEGER,
    "logit_bias": {"numbers by name", "empty object"},
    "tools": ARRAY_OF_OBJECTS,
    "tool_choice": STRING | ANY_OBJECT,
    "parallel_tool_calls": BOOLEAN,
    "response_format": ANY_OBJECT,
    "metadata": ANY_OBJECT,
    "modalities": STRINGS,
    "user": STRING,
    "safety_identifier": STRING,
    "session_id": STRING,
}
ROLES = "'developer', 'system', 'user', 'assistant', 'tool' or 'function'"
REQUIRED = {"model", "messages"}
MESSAGE_FIELDS: dict[str, set[str]] = {
    "role": set(),
    "content": STRING | ARRAY_OF_OBJECTS,
    "name": STRING,
    "tool_calls": ARRAY_OF_OBJECTS,
    "tool_call_id": STRING,
}


def refused(request: Any) -> InvalidRequest:
    """How it is refused."""
    with pytest.raises(InvalidRequest) as raised:
        parse(request if isinstance(request, bytes) else json.dumps(request).encode(), ChatRequest)
    return raised.value


def test_all_fields_are_in_the_table() -> None:
    """A field that is made known to the gateway is added here."""
    assert ChatRequest.model_fields.keys() == FIELDS.keys()


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("name", FIELDS)
def test_types(name: str, kind: str) -> None:
    """A known field of the wrong type is refused by its name; of a right one, or null, it is taken."""
    request = REQUEST | {name: VALUES[kind]}
    if kind in FIELDS[name] or (kind == "null" and name not in REQUIRED):
        assert parse(json.dumps(request).encode(), ChatRequest)[1].values == request
        return
    error = refused(request)
    assert error.code == "invalid_value"
    assert error.param is not None
    assert error.param.partition("[")[0].partition(".")[0] == name
    assert error.message.startswith(f"`{error.param}` is not valid: ")


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("name", MESSAGE_FIELDS)
def test_types_in_messages(name: str, kind: str) -> None:
    """The same within a message."""
    request = REQUEST | {"messages": [MESSAGE, MESSAGE | {name: VALUES[kind]}]}
    if kind in MESSAGE_FIELDS[name] or (kind == "null" and name != "role"):
        parse(json.dumps(request).encode(), ChatRequest)
        return
    error = refused(request)
    assert error.param is not None
    assert error.param.startswith(f"messages[1].{name}")


@pytest.mark.parametrize(
    ("changes", "message", "param"),
    [
        ({"temperature": "warm"}, "`temperature` is not valid: it should be a number.", "temperature"),
        ({"n": 1.0}, "`n` is not valid: it should be an integer.", "n"),
        ({"stop": 5}, "`stop` is not valid: it should be a string or an array.", "stop"),
        ({"stop": ["a", 5]}, "`stop[1]` is not valid: it should be a string.", "stop[1]"),
        (
            {"tool_choice": 5},
            "`tool_choice` is not valid: it should be a string or an object.",
            "tool_choice",
        ),
        ({"tools": [{}, 5]}, "`tools[1]` is not valid: it should be an object.", "tools[1]"),
        ({"messages": [5]}, "`messages[0]` is not valid: it should be an object.", "messages[0]"),
        ({"messages": {}}, "`messages` is not valid: it should be an array.", "messages"),
        (
            {"messages": [MESSAGE | {"content": 5}]},
            "`messages[0].content` is not valid: it should be a string or an array.",
            "messages[0].content",
        ),
        (
            {"messages": [MESSAGE | {"content": [{"type": "text"}, "x"]}]},
            "`messages[0].content[1]` is not valid: it should be an object.",
            "messages[0].content[1]",
        ),
        (
            {"messages": [MESSAGE | {"role": "robot"}]},
            f"`messages[0].role` is not valid: it should be {ROLES}.",
            "messages[0].role",
        ),
        (
            {"stream_options": {"include_usage": "yes"}},
            "`stream_options.include_usage` is not valid: it should be true or false.",
            "stream_options.include_usage",
        ),
        ({"logit_bias": {"50256": "x"}}, "`logit_bias` is not valid: it should be a number.", "logit_bias"),
        (
            {"max_tokens": 0},
            "`max_tokens` is not valid: it should be greater than or equal to 1.",
            "max_tokens",
        ),
        ({"n": 129}, "`n` is not valid: it should be less than or equal to 128.", "n"),
        ({"model": ""}, "`model` is not valid: String should have at least 1 character.", "model"),
        ({"model": "x" * 257}, "`model` is not valid: String should have at most 256 characters.", "model"),
        (
            {"messages": []},
            "`messages` is not valid: List should have at least 1 item after validation, not 0.",
            "messages",
        ),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_told(changes: dict[str, Any], message: str, param: str) -> None:
    """The message says what was expected where; all that a field may be, where it may be several things."""
    error = refused(REQUEST | changes)
    assert (error.message, error.param, error.code) == (message, param, "invalid_value")


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({}, "model"),
        ({"messages": [MESSAGE]}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": [{"content": "x"}]}, "messages[0].role"),
    ],
)
def test_missing(request_: dict[str, Any], param: str) -> None:
    """What is required and not there is named."""
    error = refused(request_)
    assert (error.message, error.param) == (f"`{param}` is required.", param)
    assert error.code == "missing_required_parameter"


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"model=m", b'{"model":"m"', b'{"model":"m","model":"x"}', b'{"n":NaN}', b"\xff{}"],
)
def test_not_json(body: bytes) -> None:
    """A body that is no JSON object is refused as a whole."""
    error = refused(body)
    assert error.message.startswith("The body must be a JSON object: ")
    assert (error.param, error.code) == (None, "invalid_json")


@pytest.mark.parametrize(
    "fields", [{"a" * 50_000: 1}, {"logit_bias": {"x" * 50_000: "x"}}, {"temperature": "x" * 50_000}]
)
def test_values_are_not_told(fields: dict[str, Any]) -> None:
    """A refusal does not repeat what was sent, however long it is."""
    assert len(refused({"model": 5, **fields}).message) < 200
    if "a" * 50_000 not in fields:
        assert len(refused(REQUEST | fields).message) < 200


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model":"m","messages":[0', b"]}"),
        (b'{"model":"m","messages":[{"role":"user","content":[0', b"]}]}"),
        (b'{"model":"m","messages":[{"role":"user"}],"stop":[0', b"]}"),
        (b'{"model":"m","messages":[{"role":"user"}],"tools":[0', b"]}"),
    ],
    ids=["messages", "content", "stop", "tools"],
)
def test_many_mistakes(before: bytes, after: bytes) -> None:
    """A field that is wrong twenty thousand times is looked at once: each further error would take a kilobyte."""
    tracemalloc.start()
    try:
        refused(before + b",0" * 20_000 + after)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_everything_else_goes_on() -> None:
    """Fields that nobody here knows, and the spelling of those that are known, are not touched."""
    body = (
        b'{"model": "m", "temperature":1.10, "top_k" : 1E2,"provider":{"order":["a"]}, "seed":-0,\n'
        b'"messages":[{"role":"user","content":"\\ud83d","x":1},{"role":"tool","content":[{"type":"of-tomorrow"}]}]}'
    )
    request, members = parse(body, ChatRequest)
    assert members.with_members({}) == body
    assert members.with_members({"model": "n"}) == body.replace(b'"m"', b'"n"')
    assert members.values["provider"] == {"order": ["a"]}
    assert (request.model, request.temperature, request.seed) == ("m", 1.1, 0)


def test_large_numbers() -> None:
    """Numbers beyond any machine's are not the gateway's to judge."""
    body = json.dumps(REQUEST | {"seed": 10**40}).encode().replace(b"10000", b"12345")
    assert parse(body, ChatRequest)[0].seed == int(body.rpartition(b" ")[2][:-1])
