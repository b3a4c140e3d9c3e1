"""`JsonMembers`: an object whose members can be replaced, all other bytes as they came."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.wire.json_members import ABSENT, JsonMembers, NotAnObject

SPACE = st.text(" \t\n\r", max_size=2)
NUMBERS = st.one_of(
    st.sampled_from(["0", "-0", "-0.0", "1E5", "1e+05", "1.10", "-1.5E-3", "0.1", "1e999", "1" * 400]),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
ESCAPES = [
    r"\n",
    r"\"",
    r"\\",
    r"\/",
    r"\b",
    r"\u0041",
    r"\u00e9",
    r"\ud83d\ude00",
    r"\ud800",
    r"\udc00",
    r"\u0000",
]
LETTERS = st.characters(min_codepoint=0x20, codec="utf-8", exclude_characters='"\\')
STRINGS = st.lists(LETTERS | st.sampled_from(ESCAPES), max_size=6).map(lambda parts: f'"{"".join(parts)}"')
SCALARS = st.one_of(NUMBERS, STRINGS, st.sampled_from(["null", "true", "false"]))


@dataclass(frozen=True)
class Member:
    """One member, in the pieces of its text."""

    before: str  # space
    name: str  # in quotes
    colon: str  # with space around
    value: str
    after: str  # space

    @property
    def key(self) -> str:
        """The name that the text means."""
        key: str = json.loads(self.name)
        return key

    def text(self, value: str | None = None) -> str:
        """Its text, or that of the same member with another value."""
        return self.before + self.name + self.colon + (self.value if value is None else value) + self.after


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Arrays and objects of values."""
    spaced = st.tuples(SPACE, inner, SPACE).map("".join)
    pairs = st.tuples(SPACE, STRINGS, SPACE, st.just(":"), spaced).map("".join)
    return st.one_of(
        st.lists(spaced, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(pairs, max_size=3).map(lambda items: f"{{{','.join(items)}}}"),
    )


VALUES = st.recursive(SCALARS, nested, max_leaves=6)
COLONS = st.tuples(SPACE, SPACE).map(":".join)
MEMBERS = st.lists(
    st.builds(Member, before=SPACE, name=STRINGS, colon=COLONS, value=VALUES, after=SPACE),
    max_size=5,
    unique_by=lambda member: member.key,
)
CHANGED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


def dumped(value: Any) -> str:
    """How a changed value is written."""
    return json.dumps(value, separators=(",", ":"))


@given(MEMBERS, SPACE, SPACE, SPACE)
def test_values(members: list[Member], before: str, inside: str, after: str) -> None:
    """The values are the standard library's, with types, signs and order, for any spelling of any object."""
    text = f"{before}{{{','.join(member.text() for member in members) or inside}}}{after}"
    parsed = JsonMembers(text.encode())
    assert repr(parsed.values) == repr(json.loads(text))
    assert parsed.size == len(text.encode())


@given(MEMBERS, SPACE, SPACE, SPACE, st.data())
def test_only_what_is_named_changes(
    members: list[Member], before: str, inside: str, after: str, data: st.DataObject
) -> None:
    """Members that are there are replaced in their place, new ones added at the end; every other byte stays."""
    there = [member.key for member in members]
    names = st.sampled_from(["model", "stream", "", 'a"b', *there])
    changes = data.draw(st.dictionaries(names, CHANGED, max_size=4))
    text = f"{before}{{{','.join(member.text() for member in members) or inside}}}{after}"
    kept = [member.text(dumped(changes[member.key]) if member.key in changes else None) for member in members]
    added = [f"{dumped(name)}:{dumped(value)}" for name, value in changes.items() if name not in there]
    body = ",".join([*kept, *added]) if kept else inside + ",".join(added)
    changed = JsonMembers(text.encode()).with_members(changes)
    assert changed == f"{before}{{{body}}}{after}".encode()
    assert JsonMembers(changed).values == json.loads(text) | changes


@given(MEMBERS, SPACE, SPACE, SPACE, st.data())
def test_what_is_absent_is_taken_out(
    members: list[Member], before: str, inside: str, after: str, data: st.DataObject
) -> None:
    """The object is that without them; every other member stands as it stood, spelling, digits and order."""
    there = [member.key for member in members]
    names = st.sampled_from(["model", "", *there])
    changes = data.draw(st.dictionaries(names, CHANGED | st.just(ABSENT), max_size=4))
    text = f"{before}{{{','.join(member.text() for member in members) or inside}}}{after}"
    body = JsonMembers(text.encode())
    changed = body.with_members(changes)
    expected = {name: value for name, value in {**body.values, **changes}.items() if value is not ABSENT}
    assert repr(JsonMembers(changed).values) == repr(expected) == repr(body.merged(changes))
    at = 0
    for member in members:
        if member.key not in changes:
            spelled = (member.name + member.colon + member.value).encode()
            at = changed.index(spelled, at) + len(spelled)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("{}", "{}"),
        ('{"gone":1}', "{}"),
        (' { "gone" : 1 , "a" : 1.10 } ', '{"a" : 1.10}'),
        ('{"a":1E5,"gone":[1,2]}', '{"a":1E5}'),
        ('{"a":"x,}", "gone":{}, "b":-0.0}', '{"a":"x,}","b":-0.0}'),
        (r'{"g\u006fne":1,"a":"\u0041"}', r'{"a":"\u0041"}'),
    ],
    ids=["not there", "alone", "first", "last", "between", "escaped"],
)
def test_absent(text: str, changed: str) -> None:
    """`gone` is taken out."""
    assert JsonMembers(text.encode()).with_members({"gone": ABSENT}) == changed.encode()


def test_nothing_to_change() -> None:
    """Without changes it is the same body."""
    body = b' { "a" : 1.10 } \n'
    assert JsonMembers(body).with_members({}) is body


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("{}", '{"model":"m"}'),
        (" {\n} ", ' {\n"model":"m"} '),
        ('{"a": 1E5}', '{"a": 1E5,"model":"m"}'),
        ('{"a": "}" }\n', '{"a": "}" ,"model":"m"}\n'),
        ('{"model" : "x", "n":1.10}', '{"model" : "m", "n":1.10}'),
        (r'{"mod\u0065l":"x"}', r'{"mod\u0065l":"m"}'),
        ('{"a":{"model":"x"},"model":{"model":1}}', '{"a":{"model":"x"},"model":"m"}'),
        (r'{"a":"\ud800 \/ é","model":null}', r'{"a":"\ud800 \/ é","model":"m"}'),
    ],
    ids=[
        "empty",
        "space",
        "added",
        "brace in a string",
        "replaced",
        "escaped name",
        "nested name",
        "surrogate",
    ],
)
def test_with_members(text: str, changed: str) -> None:
    """`model` is set to `m`."""
    assert JsonMembers(text.encode()).with_members({"model": "m"}) == changed.encode()


def test_several_members_replaced_out_of_order() -> None:
    """The order of the changes is not that of the members."""
    body = JsonMembers(b'{"a":1, "b":2, "c":3}')
    assert body.with_members({"d": 4, "c": 30, "a": 10}) == b'{"a":10, "b":2, "c":30,"d":4}'


# -- what is refused


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param('{"a":1,"a":1}', '"a" stands there twice', id="twice"),
        pytest.param(r'{"model":1,"mod\u0065l":2}', '"model" stands there twice', id="twice, once escaped"),
        pytest.param(
            r'{"mo\u0064el":1,"mod\u0065l":2}', '"model" stands there twice', id="twice, both escaped"
        ),
        pytest.param(r'{"\ud83d\ude00":1,"😀":2}', "stands there twice", id="twice, by surrogates"),
        pytest.param('{"":1,"":2}', "stands there twice", id="twice, empty"),
        pytest.param('{"a":NaN}', "NaN is not a JSON value", id="NaN"),
        pytest.param('{"a":[{"b":Infinity}]}', "Infinity is not", id="Infinity"),
        pytest.param('{"a":-Infinity}', "-Infinity is not", id="-Infinity"),
        pytest.param('{"a":' + "1" * 5000 + "}", "too many digits", id="5,000 digits"),
        pytest.param('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply", id="deep arrays"),
        pytest.param('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply", id="deep objects"),
        pytest.param('{"a":' + "[" * 100_000, "nested too deeply", id="deep, cut short"),
        pytest.param("", "does not start with {", id="nothing"),
        pytest.param("[]", "does not start with {", id="array"),
        pytest.param('"{}"', "does not start with {", id="string"),
        pytest.param("\ufeff{}", "does not start with {", id="byte order mark"),
        pytest.param("\xa0{}", "does not start with {", id="no-break space before"),
        pytest.param('{"a"\xa0:1}', "no member at character 1", id="no-break space inside"),
        pytest.param("{}\xa0", "more behind its end at character 2", id="no-break space behind"),
        pytest.param("{}\x00", "more behind its end at character 2", id="NUL behind"),
        pytest.param("{} {}", "more behind its end at character 2", id="two objects"),
        pytest.param("{} // done", "more behind its end at character 2", id="comment"),
        pytest.param("{,}", "no member at character 1", id="comma alone"),
        pytest.param('{"a":1,}', "no member at character 7", id="trailing comma"),
        pytest.param("{'a':1}", "no member at character 1", id="single quotes"),
        pytest.param("{a:1}", "no member at character 1", id="bare name"),
        pytest.param("{1:1}", "no member at character 1", id="number as a name"),
        pytest.param('{"a"}', "no member at character 1", id="no value"),
        pytest.param('{"a":}', "no value at character 5", id="empty value"),
        pytest.param('{"a" 1}', "no member at character 1", id="no colon"),
        pytest.param('{"a":1 "b":2}', "no comma at character 6", id="no comma"),
        pytest.param('{"a":01}', "no comma at character 6", id="leading zero"),
        pytest.param('{"a":.5}', "no value at character 5", id="no digit before the point"),
        pytest.param('{"a":+1}', "no value at character 5", id="plus"),
        pytest.param('{"a":True}', "no value at character 5", id="Python's word"),
        pytest.param('{"a":"\n"}', "control character", id="line feed in a string"),
        pytest.param('{"\n":1}', "no member at character 1", id="line feed in a name"),
        pytest.param(r'{"a":"\x41"}', "escape", id="escape in a value"),
        pytest.param(r'{"b":1, "\x41":1}', "escape at character 9", id="escape in a name"),
        pytest.param(r'{"\ud8":1}', "escape", id="half an escape"),
    ],
)
def test_refused(text: str, why: str) -> None:
    """What is not one JSON object with distinct members is refused, and told why."""
    with pytest.raises(NotAnObject) as refused:
        JsonMembers(text.encode())
    assert why.lower() in str(refused.value).lower()
    assert len(str(refused.value)) < 200


WHOLE = r' {"model" : "m\u00e9", "é":[1.10, {"b":"\ud83d\ude00"}, null],"n":-1E5, "t":true , "":"" }'.encode()


def test_cut_short() -> None:
    """Cut at any place, it is no object any more."""
    assert json.loads(WHOLE) == JsonMembers(WHOLE).values
    for end in range(len(WHOLE)):
        with pytest.raises(NotAnObject):
            JsonMembers(WHOLE[:end])


@pytest.mark.parametrize("wrong", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_not_utf8(wrong: bytes) -> None:
    """Bytes that are not UTF-8 are refused at any place; so are surrogates and NUL in their forbidden spellings."""
    for at in range(len(WHOLE) + 1):
        with pytest.raises(NotAnObject):
            JsonMembers(WHOLE[:at] + wrong + WHOLE[at:])


@given(st.binary(max_size=20) | st.text('{}[]":,0-e.\\ut\n "', max_size=20).map(str.encode))
def test_anything(body: bytes) -> None:
    """Whatever comes is an object as the standard library sees it, or refused; nothing else is raised."""
    try:
        values = JsonMembers(body).values
    except NotAnObject:
        return
    assert values == json.loads(body)
