"""A JSON object whose top-level members can be replaced without touching the bytes of the others.

What a client sends goes on as it was sent: numbers keep their digits, strings their escapes, members their order.
A name that stands there twice is refused, since the next reader may take the other one.
"""

import json
import re
from collections.abc import Mapping
from enum import Enum
from json.scanner import make_scanner
from typing import Any, Final


class Absent(Enum):
    """In place of a value: the member is taken out."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
_dumps: Final = json.JSONEncoder(separators=(",", ":")).encode  # made once: that takes as long as to encode
_SPACE: Final = r"[ \t\n\r]*+"
_NAMED: Final = rf'{_SPACE}"([^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+)"{_SPACE}:{_SPACE}'
_OPEN: Final = re.compile(rf"{_SPACE}\{{{_SPACE}")
_SEPARATOR: Final = re.compile(rf"{_SPACE}([,}}])")
# from one value to the next, or to the end: then there is no name
_FIRST: Final = re.compile(rf"{_SPACE}\{{(?:{_NAMED}|{_SPACE}\}}{_SPACE}\Z)")
_NEXT: Final = re.compile(rf"{_SPACE}(?:,{_NAMED}|\}}{_SPACE}\Z)")


class NotAnObject(ValueError):
    """The text is not one JSON object with distinct members; the message says what is wrong, and where."""


class JsonMembers:
    """A parsed object: `values` by name, and the text they came from."""

    __slots__ = ("_body", "_spans", "_text", "values")

    def __init__(self, body: bytes) -> None:
        self._body = body
        try:
            self._text = body.decode()
        except UnicodeDecodeError as error:
            raise NotAnObject(f"not UTF-8 at byte {error.start}") from None
        self.values: dict[str, Any] = {}
        self._spans: dict[str, tuple[int, int]] = {}
        try:
            self._parse()
        except StopIteration as stop:
            raise NotAnObject(f"no value at character {stop.value}") from None
        except RecursionError:
            raise NotAnObject("nested too deeply") from None
        except json.JSONDecodeError as error:
            raise NotAnObject(f"{error.msg} at character {error.pos}") from None
        except NotAnObject:
            raise
        except ValueError:  # Python's own bound on converting digits
            raise NotAnObject("a number has too many digits") from None

    @property
    def size(self) -> int:
        """Bytes of the text."""
        return len(self._body)

    def _parse(self) -> None:
        text, values, spans = self._text, self.values, self._spans
        end = 0
        follows = _FIRST.match(text)
        while follows is not None:
            name = follows[1]
            if name is None:
                return
            if "\\" in name:
                name, _ = _scan(text, follows.start(1) - 1)
            start = follows.end()
            value, end = _scan(text, start)
            if name in values:
                raise NotAnObject(f"the member {json.dumps(name[:64])} stands there twice")
            values[name] = value
            spans[name] = (start, end)
            follows = _NEXT.match(text, end)
        raise NotAnObject(_mistake(text, end))

    def with_members(self, changes: Mapping[str, Any]) -> bytes:
        """The object's text with these members set: replaced where they stand, added at the end where they don't.

        Those that are set to `ABSENT` are taken out.
        """
        if not changes:
            return self._body
        if ABSENT in changes.values():
            return self._with_fewer(changes)
        text, at = self._text, 0
        pieces: list[str] = []
        spans = self._spans
        for (start, end), value in sorted((spans[name], changes[name]) for name in changes if name in spans):
            pieces += (text[at:start], _dumps(value))
            at = end
        end = text.rindex("}")
        added = [f"{_dumps(name)}:{_dumps(value)}" for name, value in changes.items() if name not in spans]
        separator = "," if added and self.values else ""
        pieces += (text[at:end], separator, ",".join(added), text[end:])
        return "".join(pieces).encode()

    def _with_fewer(self, changes: Mapping[str, Any]) -> bytes:
        """The same, where members go: then all are put together anew, each as it stood."""
        members: list[str] = []
        behind = self._text.index("{") + 1
        for name, (start, end) in self._spans.items():
            named = self._text[behind:start].lstrip(" \t\r\n,")
            value = changes.get(name, self._text)
            if value is self._text:
                members.append(named + self._text[start:end])
            elif value is not ABSENT:
                members.append(named + _dumps(value))
            behind = end
        added = ((name, value) for name, value in changes.items() if name not in self._spans)
        members += [f"{_dumps(name)}:{_dumps(value)}" for name, value in added if value is not ABSENT]
        return f"{{{','.join(members)}}}".encode()

    def merged(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The values, with these in place of their own."""
        merged = {**self.values, **changes}
        return {name: value for name, value in merged.items() if value is not ABSENT}


def _mistake(text: str, end: int) -> str:
    """What is wrong behind the last value, which ended at `end`; 0: there was none."""
    if end == 0:
        opened = _OPEN.match(text)
        if opened is None:
            return "it does not start with {"
        at = opened.end()
        return (
            f"more behind its end at character {at + 1}"
            if text[at : at + 1] == "}"
            else f"no member at character {at}"
        )
    follows = _SEPARATOR.match(text, end)
    if follows is None:
        return f"no comma at character {end}"
    what = "no member" if follows[1] == "," else "more behind its end"
    return f"{what} at character {follows.end()}"


def _no_constant(name: str) -> object:
    raise NotAnObject(f"{name} is not a JSON value")


# typeshed takes the scanner's context for a scanner; the decoder that it is documented by is one
_scan: Final = make_scanner(json.JSONDecoder(parse_constant=_no_constant))  # type: ignore[arg-type]
