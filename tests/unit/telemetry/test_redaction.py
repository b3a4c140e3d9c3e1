"""The redactor of logged bodies: no secret comes through, however it is spelled, and the rest is left as it is."""

import json
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.telemetry.redaction import Redactor
from common.telemetry.text import HIDDEN, LONGEST_SHOWN

PLAIN: Final = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=8, max_size=60).filter(
    lambda text: text == text.strip() and text not in HIDDEN
)
ANY: Final = st.text(max_size=80)


def escaped(text: str) -> str:
    """As JSON may spell it, letter by letter."""
    return "".join(f"\\u{ord(each):04X}" for each in text)


SPELLINGS: Final[Mapping[str, Callable[[str], str]]] = {
    "plain": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with slashes escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "codes": escaped,
    "codes in JSON": lambda text: json.dumps(escaped(text))[1:-1],
}


def readings(text: str) -> set[str]:
    """All that somebody may read in it: as it is, and with the escapes of JSON undone, again and again."""
    found = {text}
    for _ in range(3):
        text = text.replace("\\/", "/")
        text = "".join(_unescaped(text))
        found.add(text)
    return found


def _unescaped(text: str) -> list[str]:
    pieces, at = [], 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] == "u":
            try:
                pieces.append(chr(int(text[at + 2 : at + 6], 16)))
            except ValueError:
                pieces.append(text[at : at + 6])
            at += 6
        elif text[at] == "\\" and at + 1 < len(text):
            pieces.append(text[at + 1])
            at += 2
        else:
            pieces.append(text[at])
            at += 1
    return pieces


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(secret=PLAIN, before=ANY, after=ANY)
@example(secret='a"b\\c/d+==', before="", after="")
@example(secret="secret\\\\\\\\\\\\", before="\\", after="\\")
def test_no_secret_comes_through(spelling: str, secret: str, before: str, after: str) -> None:
    """A configured secret is hidden wherever it stands, in every way in which JSON may spell it."""
    shown = Redactor([secret])(before + SPELLINGS[spelling](secret) + after)
    assert HIDDEN in shown
    if secret not in before + after:
        assert all(secret not in reading for reading in readings(shown))


@given(secrets=st.lists(PLAIN, min_size=2, max_size=4), overlap=st.integers(0, 7), data=st.data())
def test_secrets_that_overlap(secrets: list[str], overlap: int, data: st.DataObject) -> None:
    """Of secrets that run into each other, or that begin alike, nothing is left standing."""
    joined = "".join(first[: len(first) - overlap] for first in secrets) + secrets[-1][-overlap:]
    found = [*secrets, data.draw(st.sampled_from(secrets))[:-1], joined[: len(joined) // 2]]
    shown = Redactor(found)(joined)
    assert [each for each in found if each in shown and each not in HIDDEN] == []


@given(
    secret=PLAIN,
    spelling=st.sampled_from(list(SPELLINGS)),
    cut=st.integers(0, 800),
    before=st.integers(0, 800),
)
def test_secret_at_the_cut(secret: str, spelling: str, cut: int, before: int) -> None:
    """Of a body that was cut within a secret, the part that is there is not shown either."""
    text = ("~" * before + SPELLINGS[spelling](secret))[: before + cut]
    shown = Redactor([secret])(text, is_cut=True)
    assert set(shown.replace(HIDDEN, "")) <= {"~"}


@given(ANY)
def test_bounded(text: str) -> None:
    """No more is shown than the bound, and hidden is what passes it."""
    shown = Redactor(["sesame-open-sesame"])(text * 200 + "x" * LONGEST_SHOWN + "sesame-open-sesame")
    assert len(shown) <= LONGEST_SHOWN


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sk-sluice-0123456789 sk-or-v1-abcdef sk-0123456", "[hidden] [hidden] [hidden]"),
        ("Xsk-sluice-0123456789", "X[hidden]"),
        ("key=AIzaSyA0123456789abcdefghijklmnopq;", "key=[hidden];"),
        ("AKIAIOSFODNN7EXAMPLE", "[hidden]"),
        (
            "gsk_0123456789abcdefghij xai-0123456789abcdefghij hf_0123456789abcdefghij",
            "[hidden] [hidden] [hidden]",
        ),
        ("ghp_0123456789abcdefghij phc_0123456789abcdefghij", "[hidden] [hidden]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_", "[hidden]"),
        ("Authorization: Basic YWxhZGRpbjpvcGVu\r\nx: y", "Authorization: [hidden]\r\nx: y"),
        ("bearer abc.def, please", "bearer [hidden] please"),
        ('{"api_key": "zz", "n": 1}', '{"api_key": [hidden], "n": 1}'),
        ('{"headers":{"Authorization":"Basic \\"x"},"n":1}', '{"headers":{"Authorization":[hidden]},"n":1}'),
        (
            '{"x-api-key":["a","b"],"client_secret":{"k":"v"}}',
            '{"x-api-key":[hidden],"client_secret":[hidden]}',
        ),
        (
            '{"a":"{\\"password\\": \\"he\\\\\\"llo\\", \\"b\\": 2}"}',
            '{"a":"{\\"password\\": [hidden], \\"b\\": 2}"}',
        ),
        ('{"password": "cut', '{"password": [hidden]'),
        (
            '{"access_token":"a","token":"b","id_token":5}',
            '{"access_token":[hidden],"token":[hidden],"id_token":[hidden]}',
        ),
    ],
)
def test_keys_are_hidden_by_their_looks(text: str, shown: str) -> None:
    """What looks like a key, or stands behind a name of one, is hidden although nobody has configured it."""
    assert Redactor([])(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        '{"max_tokens":5,"usage":{"prompt_tokens":1,"completion_tokens_details":{"reasoning_tokens":0}}}',
        '{"messages":[{"role":"user","content":"a risk-free task; what is a token? Bearers of news."}]}',
        "ünïcödé 模型 \u202e \\u0041 \\\\",
        "the secret of my success",
    ],
)
def test_what_is_in_order_stays(text: str) -> None:
    """Text without secrets is shown as it is."""
    assert Redactor(["some-configured-secret"])(text) == text


def test_no_text_takes_long() -> None:
    """The work grows with the text, not with its square: a client chooses it."""
    redact = Redactor(["s3cr3t/value+==", 'a"b\\c/d', "\\" * 12])
    begins = [
        "\\",
        '"',
        '"api_key":"',
        '"token":{',
        "secret-",
        "bearer ",
        "authorization:",
        "eyJaaaaaaaaa.",
        "s",
        'a"',
        "\\u",
        "[",
        " ",
    ]

    def took(pieces: str) -> float:
        began = time.process_time()
        redact(pieces, is_cut=True)
        return time.process_time() - began

    for first, second in pairwise([*begins, begins[0]]):
        for text in (first, first + second):
            assert took((text * 65_536)[:65_536]) < 1.0, text
