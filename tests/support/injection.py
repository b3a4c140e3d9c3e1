"""What clients may send in every place where they may send something, and what must become of it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.support.scripted import ScriptedGateway
from tests.support.wire import Answer

STRINGS: Final[Mapping[str, str]] = {
    "line ends": "a\r\nset-cookie: injected=1\r\n\r\n<html>",
    "line feed": "a\ninjected: 1",
    "NUL": "a\x00b",
    "escape sequences": "\x1b[2J\x1b]0;title\x07\x9b31m",
    "bidi marks": "\u202egnp.exe\u2066\u200f",
    "unicode line ends": "a\u2028b\u2029c\x85d",
    "lone surrogate": "\ud800\udfff\udc80",
    "not a character": "\ufffe\uffff\ufdd0",
    "combining": "a" + "\u0301" * 200,
    "format": "%s%n%x{0}{__class__}$(id)`id`{{7*7}}${7*7}",
    "markup": "<script>alert(1)</script>&quot;",
    "quotes": "\"'`\\",
    "SQL": "'; DROP TABLE usage; --",
    "path": "../../../etc/passwd",
    "long": "x" * 20_000,
    "log": '","level":"error","message":"forged',
}
DEEP: Final = 10_000
VALUES: Final[Mapping[str, bytes]] = {
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "huge exponent": b"1e999999",
    "huge integer": b"9" * 5_000,
    "integer of 4,300 digits": b"9" * 4_300,
    "long fraction": b"0." + b"1" * 5_000,
    "beyond 64 bits": b"-9223372036854775809",
    "deep array": b"[" * DEEP + b"]" * DEEP,
    "deep object": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "unended": b"[" * DEEP,
    "duplicate names": b'{"a":1,"a":2,"b":{"c":1,"c":{"d":1,"d":2}}}',
    "not UTF-8": b'"\xff\xfe\xed\xa0\x80\xc0\xaf"',
    "control characters": b'"a\x00\x01\n\x1b[2J"',
    "half an escape": b'"\\u12"',
    "a comment": b"/**/1",
}
"""JSON, or nearly so, in place of a value."""

UPSTREAM: Final = frozenset({"host", "user-agent", "accept-encoding", "content-type", "authorization"})


def fields(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0
) -> Iterator[tuple[str | int, ...]]:
    """The places of all fields of a body, those within others too: `("messages", 0, "content")`."""
    schema = _resolved(schema, schemas)
    for each in schema.get("anyOf", ()):
        yield from fields(each, schemas, depth)
    if depth < 4 and "items" in schema:
        yield (0,)
        yield from ((0, *rest) for rest in fields(schema["items"], schemas, depth + 1))
    for name, each in schema.get("properties", {}).items():
        yield (name,)
        if depth < 4:
            yield from ((name, *rest) for rest in fields(each, schemas, depth + 1))


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = schemas[name] if name else schema
    return found


def with_value(body: Mapping[str, Any], place: tuple[str | int, ...], value: bytes) -> bytes:
    """`body` in JSON, with these bytes for the value at `place`."""
    mark = "\x7fhere\x7f"
    return json.dumps(_put(dict(body), place, mark)).encode().replace(json.dumps(mark).encode(), value)


def _put(into: Any, place: tuple[str | int, ...], value: Any) -> Any:
    if not place:
        return value
    first, *rest = place
    if isinstance(first, int):
        items = list(into) if isinstance(into, list | tuple) else []
        return [_put(items[0] if items else None, tuple(rest), value), *items[1:]]
    members = dict(into) if isinstance(into, dict) else {}
    return members | {first: _put(members.get(first), tuple(rest), value)}


def assert_harmless(answer: Answer, what: object) -> None:
    """It is no failure of ours, and holds nothing that its reader would take for more than text."""
    assert answer.status < 500, (what, answer)
    assert all(value.isascii() and value.isprintable() for _, value in answer.headers), (what, answer)
    assert {name for name, _ in answer.headers}.isdisjoint({"set-cookie", "injected"}), (what, answer)
    if answer.status >= 400:
        assert len(answer.body) < 4_000, (what, answer)
        if answer.header("content-type") == "application/json":
            assert answer.error["message"].isprintable(), (what, answer)
            assert answer.error["code"] is None or answer.error["code"].isprintable(), (what, answer)


def assert_clean_log(gateway: ScriptedGateway) -> None:
    """Every line of the log is one line, prints, and is the entry that it was meant to be."""
    assert len(gateway.log.json) == len(gateway.log.plain) > 0
    for line in gateway.log.json:
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["logger"] == "sluice.request"
        assert len(line) < 4_000
    for line in gateway.log.plain:
        assert line.isprintable()
        assert len(line) < 4_000


def assert_clean_upstream(gateway: ScriptedGateway) -> None:
    """Providers get the headers that they always get, and bodies that all readers of JSON read alike."""
    for exchange in gateway.provider.exchanges:
        names = {name for name, _ in exchange.asked.headers} - {"content-length"}
        assert names == UPSTREAM
        assert all(value.isascii() and value.isprintable() for _, value in exchange.asked.headers)
        objects: list[list[tuple[str, Any]]] = []
        json.loads(exchange.asked.body.decode(), parse_constant=_refuse, object_pairs_hook=objects.append)
        # the outermost ends last; within others, what a client sends goes on as it was sent
        assert len(dict(objects[-1])) == len(objects[-1])


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
