"""Text of unknown origin, made fit for a header or a line of log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.telemetry.text import (
    LONGEST_SESSION_ID,
    for_a_header,
    on_one_line,
    session_id,
    without_keys,
)


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("gpt-4o mini/é 模型", "gpt-4o mini/é 模型"),
        ("a\r\nINFO forged", "a\ufffd\ufffdINFO forged"),
        ("\x00\x1b[2J\x7f\x9b", "\ufffd\ufffd[2J\ufffd\ufffd"),
        ("\u202eevil\u2066\u200f", "\ufffdevil\ufffd\ufffd"),
        ("\u2028\u2029\x85", "\ufffd\ufffd\ufffd"),
        ("\ud800", "\ufffd"),
        ("x" * 50, "x" * 40),
    ],
    ids=["plain", "line ends", "controls", "bidi", "unicode line ends", "surrogate", "long"],
)
def test_on_one_line(given_: str, shown: str) -> None:
    """What does not print is replaced, what is too long is cut, what is in order stays."""
    assert on_one_line(given_, 40) == shown


@given(st.text(alphabet=st.characters()))
def test_every_text_fits_on_one_line(text: str) -> None:
    """Whatever comes in prints, and comes in the encoding of any log."""
    shown = on_one_line(text, 20)
    assert shown.isprintable()
    assert len(shown) <= 20
    shown.encode()


@given(st.binary())
def test_every_value_fits_in_a_header(value: bytes) -> None:
    """Whatever comes in is printable ASCII, of bounded length, without spaces at its ends."""
    shown = for_a_header(value, 20)
    assert shown.isascii()
    assert shown.isprintable()
    assert shown == shown.strip()
    assert len(shown) <= 20


def test_good_header_stays() -> None:
    """An id as clients make them goes through as it is."""
    assert for_a_header(b"0197f7a2-5a5e-7d7e {}:;=", 512) == "0197f7a2-5a5e-7d7e {}:;="


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("key sk-sluice-abcDEF123 and sk-or-v1-12345678", "key [hidden] and [hidden]"),
        ("/v1/sk-proj_123456789/x", "/v1/[hidden]/x"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [hidden]"),
        ("'bearer  x'", "'bearer  [hidden]'"),
        ("BEARER x", "BEARER [hidden]"),
        ("a risk-free task", "a risk-free task"),
        ("sk-12", "sk-12"),
    ],
)
def test_keys_are_hidden(given_: str, shown: str) -> None:
    """What looks like a key or a token is not shown; words that look a little like it are."""
    assert without_keys(given_) == shown


@pytest.mark.parametrize(
    ("given_", "session"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("chat 7", "chat 7"),
        ("Gespräch", "Gespräch"),
        ("a\r\nb\ud800", "a\ufffd\ufffdb\ufffd"),
        ("Bearer abc", "Bearer [hidden]"),
        ("x" * 10**6, "x" * LONGEST_SESSION_ID),
    ],
    ids=["none", "empty", "blank", "plain", "letters", "line end", "token", "long"],
)
def test_session_id(given_: str | None, session: str | None) -> None:
    """A client's own name for a session is kept as far as it prints, is short and is no secret."""
    assert session_id(given_) == session
