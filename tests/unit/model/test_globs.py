"""Patterns of model names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.globs import Globs
from common.model.ids import KeyId, UserId
from common.model.principal import Principal


def matches(pattern: str, name: str) -> bool:
    """What a pattern means, letter by letter."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(matches(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and pattern[0] in {"?", name[0]} and matches(pattern[1:], name[1:])


@pytest.mark.parametrize(
    ("pattern", "name", "matched"),
    [
        pytest.param("gpt-4o", "gpt-4o", True, id="name"),
        pytest.param("gpt-4o", "gpt-4o-mini", False, id="beginning of a name"),
        pytest.param("gpt-4o", "my-gpt-4o", False, id="end of a name"),
        pytest.param("gpt-*", "gpt-", True, id="star of nothing"),
        pytest.param("gpt-*", "gpt-4o/2024", True, id="star over a slash"),
        pytest.param("*", "", True, id="star alone"),
        pytest.param("*mini*", "gpt-4o-mini-2024", True, id="stars around"),
        pytest.param("GPT-*", "gpt-4o", False, id="case"),
        pytest.param("gpt-?", "gpt-4", True, id="question mark"),
        pytest.param("gpt-?", "gpt-", False, id="question mark of nothing"),
        pytest.param("gpt-?", "gpt-4o", False, id="question mark of two"),
        pytest.param("gpt.4", "gpt-4", False, id="dot"),
        pytest.param("[ab]", "a", False, id="no set"),
        pytest.param("[ab]", "[ab]", True, id="brackets"),
        pytest.param("[!a]*", "b", False, id="no inverted set"),
        pytest.param("[!a]*", "[!a]b", True, id="inverted brackets"),
        pytest.param("a*", "a\nb", True, id="line break"),
        pytest.param("a", "a\n", False, id="line break at the end"),
        pytest.param("a*\\", "ab\\", True, id="backslash"),
        pytest.param("ß*", "ss", False, id="no folding"),
    ],
)
def test_pattern(pattern: str, name: str, matched: bool) -> None:  # noqa: FBT001 - a column of the table
    """A star is any run of characters, a question mark is one; all else is itself, and the whole name counts."""
    assert Globs([pattern]).match(name) is matched
    assert Globs(["nobody", pattern, "no*body"]).match(name) is matched
    assert Principal(KeyId("k"), UserId("u"), frozenset(), models=(pattern,)).may_use(name) is matched


def test_none() -> None:
    """Without patterns every name matches."""
    assert all(Globs([]).match(name) for name in ("", "a", "*", "a/b\n"))
    assert Principal(KeyId("k"), UserId("u"), frozenset()).may_use("anything")


PATTERNS = st.text("ab*?[", max_size=6)
NAMES = st.text("ab[", max_size=6)


@given(st.lists(PATTERNS, min_size=1, max_size=3), NAMES)
def test_any_pattern(patterns: list[str], name: str) -> None:
    """One pattern of several is enough."""
    assert Globs(patterns).match(name) is any(matches(pattern, name) for pattern in patterns)


SHORT = st.text("a*?", max_size=4)


@given(SHORT, SHORT, st.text("ab", max_size=4))
def test_cover(wide: str, narrow: str, name: str) -> None:
    """A pattern that matches another one, as it is written, matches every name that the other does."""
    covers = Globs([wide]).match(narrow)
    assert not covers or matches(wide, name) or not matches(narrow, name)


@pytest.mark.parametrize(
    ("own", "asked", "covered"),
    [
        ("*", "*", True),
        ("*", "gpt-*", True),
        ("gpt-*", "gpt-4*", True),
        ("gpt-*", "gpt-*", True),
        ("gpt-*", "gpt-4?", True),
        ("gpt-?", "gpt-?", True),
        ("gpt-4", "gpt-4", True),
        ("gpt-*", "*", False),
        ("gpt-*", "g*", False),
        ("gpt-?", "gpt-*", False),
        ("gpt-4", "gpt-?", False),
        ("gpt-*", "gpt*", False),
        ("*-mini", "*", False),
        ("a*b", "a*", False),
    ],
)
def test_covered_patterns(own: str, asked: str, covered: bool) -> None:  # noqa: FBT001 - a column of the table
    """What a pattern covers: itself, and those that say less."""
    assert Globs([own]).match(asked) is covered


def test_hostile_pattern() -> None:
    """A pattern of many stars is no way to keep the gateway busy."""
    assert not Globs(["*a" * 120 + "b"]).match("a" * 256)
