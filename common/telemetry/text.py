"""Text of unknown origin, made fit for a header or a line of log. Pure.

What a client or a provider has chosen may hold line ends (a second line of log, a second header), escape sequences
(which a terminal obeys), marks that reverse the reading direction, or half a character.
"""

import re
from typing import Final

SHOWN: Final = "\ufffd"  # in place of what does not print
HIDDEN: Final = "[hidden]"
LONGEST_SHOWN: Final = 8_192  # characters of a body
LONGEST_SESSION_ID: Final = 128  # as OpenRouter takes
_UNFIT_FOR_A_HEADER: Final = bytes(code for code in range(256) if not 0x20 <= code < 0x7F)
_KEY: Final = re.compile(r"\bsk-[\w-]{6,}", re.ASCII)
_BEARER: Final = re.compile(r"\b(bearer\s+)[^\s\"']+", re.ASCII | re.IGNORECASE)


def on_one_line(text: str, longest: int) -> str:
    """At most `longest` characters, each of which prints: no controls, no format characters, no half surrogates."""
    text = text[:longest]
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else SHOWN for each in text)


def for_a_header(value: bytes, longest: int) -> str:
    """The printable ASCII of a header's value, at most `longest` characters of it."""
    return value.translate(None, _UNFIT_FOR_A_HEADER)[:longest].decode("ascii").strip()


def session_id(given: str | None) -> str | None:
    """A client's own name for what its request is part of, fit for records and logs; None where there is none."""
    if not given:
        return None
    return on_one_line(without_keys(given[: 8 * LONGEST_SESSION_ID]), LONGEST_SESSION_ID).strip() or None


def without_keys(text: str) -> str:
    """`text` without what looks like an API key or a bearer token."""
    if "sk-" in text:  # which is looked for ten times faster than a pattern
        text = _KEY.sub(HIDDEN, text)
    if " " in text:
        text = _BEARER.sub(rf"\1{HIDDEN}", text)
    return text
