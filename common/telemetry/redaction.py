r"""Bodies of requests and answers, made fit for a log. Pure.

What is kept back: the configured secrets, wherever they stand and however JSON may spell them (`\/`, `\u0041`, JSON
in a string of JSON); what looks like a key of Sluice or of a provider, a bearer token or a JSON web token; and what
stands behind a name like `authorization`, `api_key` or `password`, whatever it is.

A text that was cut before it came here may end within a secret. So of such a text the last characters are not shown,
unless they belong to something that is kept back as a whole.
"""

import re
from collections.abc import Collection
from typing import Final

from common.telemetry.text import HIDDEN, LONGEST_SHOWN

_ESCAPES: Final = 7  # backslashes in a row: JSON within JSON within JSON has that many before a quote
_TAIL: Final = 256  # characters at the end of a cut text; more where a configured secret is longer
_NAMES: Final = (
    r"(?:authorization|api[-_]?keys?|secret[\w-]{0,32}|passw(?:or)?d|credentials?|cookie|private[-_]?key"
    r"|(?:access|refresh|auth|id|session|bearer|security|api)[-_]?token|(?<![\w-])token)"
)
# a member's value: a string up to the quote that is escaped as the one before it, an array, an object, a bare word
_MEMBER: Final = re.compile(
    rf"{_NAMES}(?P<escape>\\{{0,{_ESCAPES}}})\"\s{{0,16}}:\s{{0,16}}"
    r"(?P<hidden>(?P=escape)\"(?:(?!(?<!\\)(?P=escape)\").)*(?:(?P=escape)\")?"
    r"|\[[^\]]*\]?|\{[^}]*\}?|[^\s,}\]]+)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_HEADER: Final = re.compile(
    r"(?:authorization|api[-_]?key)\s{0,4}[:=]\s{0,4}(?P<hidden>[^\r\n\"'\\&]+)", re.IGNORECASE | re.ASCII
)
# the first are none of a word's; before the others, a letter or a digit makes them a part of one: risk-averse
_KEY: Final = re.compile(
    r"(?P<hidden>sk-(?:sluice|or|ant|proj|svcacct)-[\w-]{4,}|(?<![A-Za-z0-9])(?:sk-[\w-]{6,}"
    r"|(?:[sprg]sk|[spr]k|xai|hf|r8|pplx|fw|ph[cx]|gh[opsur]|github_pat|glpat|xox[abeprs])[-_][\w-]{16,}"
    r"|A[KS]IA[0-9A-Z]{12,}|AIza[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?))",
    re.ASCII,
)
_BEARER: Final = re.compile(r"\bbearer\s{1,16}(?P<hidden>[^\s\"'\\]+)", re.IGNORECASE)


class Redactor:
    """Keeps back what must not be shown. Made once, of the configured secrets."""

    def __init__(self, secrets: Collection[str]) -> None:
        """`secrets`: values; empty ones are none."""
        found = [each for each in secrets if each]
        self._patterns = (*(re.compile(_spelled(each)) for each in found), _MEMBER, _HEADER, _KEY, _BEARER)
        # one character may be spelled by as many as six, and a backslash or two more
        self._tail = max([_TAIL, *(len(each) * (6 + _ESCAPES) for each in found)])

    def __call__(self, text: str, *, is_cut: bool = False) -> str:
        """What may be shown of `text`, at most `LONGEST_SHOWN` characters. `is_cut`: there was more behind it."""
        end = len(text) - self._tail if is_cut else len(text)
        spans = sorted(found.span("hidden") for each in self._patterns for found in each.finditer(text))
        shown: list[str] = []
        at = 0
        for start, stop in spans:
            if start >= end:
                break
            if start >= at:
                shown += [text[at:start], HIDDEN]
            at = max(at, stop)
        shown.append(text[at : max(at, end)])
        return "".join(shown)[:LONGEST_SHOWN]


def _spelled(secret: str) -> str:
    """A pattern of the ways in which JSON, or JSON in a string of JSON, spells `secret`."""
    (plain, escaped), *rest = map(_character, secret)
    pieces = [f"{plain}|{_backslashes(1)}{escaped}"]
    pieces += [f"{_backslashes(0)}(?:{plain}|{escaped})" for plain, escaped in rest]
    return "(?P<hidden>" + "".join(f"(?:{piece})" for piece in pieces) + ")"


def _character(character: str) -> tuple[str, str]:
    """As it is, and as the letter `u` and its code, whose digits may be of either case."""
    code = "".join(f"[{each}{each.upper()}]" if each.isalpha() else each for each in f"{ord(character):04x}")
    return re.escape(character), f"u{code}"


def _backslashes(least: int) -> str:
    return rf"\\{{{least},{_ESCAPES}}}"
