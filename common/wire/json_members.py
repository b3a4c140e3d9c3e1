"""A JSON object whose top-level members can be replaced without touching the bytes of the others.

What a client sends goes on as it was sent: numbers keep their digits, strings their escapes, members their order.
A name that stands there twice is refused, since the next reader may take the other one.
"""

import json
import re
from collections.abc import Mapping
from json.scanner import make_scanner
from typing import Any, Final

_OPEN: Final = re.compile(r"[ \t\n\r]*\{[ \t\n\r]*")
_NAME: Final = re.compile(r'[ \t\n\r]*("(?:[^"\\\x00-\x1f]|\\.)*")[ \t\n\r]*:[ \t\n\r]*')
_NEXT: Final = re.compile(r"[ \t\n\r]*([,}])")
_END: Final = re.compile(r"[ \t\n\r]*\Z")


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
        text = self._text
        opened = _OPEN.match(text)
        if opened is None:
            raise NotAnObject("it does not start with {")
        at = opened.end()
        separator = text[at : at + 1]
        if separator == "}":
            at += 1
        while separator != "}":
            named = _NAME.match(text, at)
            if named is None:
                raise NotAnObject(f"no member at character {at}")
            name = named[1][1:-1]
            if "\\" in name:
                name, _ = _scan(text, named.start(1))
            start = named.end()
            value, end = _scan(text, start)
            if name in self.values:
                raise NotAnObject(f"the member {json.dumps(name[:64])} stands there twice")
            self.values[name] = value
            self._spans[name] = (start, end)
            follows = _NEXT.match(text, end)
            if follows is None:
                raise NotAnObject(f"no comma at character {end}")
            separator, at = follows[1], follows.end()
        if _END.match(text, at) is None:
            raise NotAnObject(f"more behind its end at character {at}")

    def with_members(self, changes: Mapping[str, Any]) -> bytes:
        """The object's text with these members set: replaced where they stand, added at the end where they don't."""
        if not changes:
            return self._body
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


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _no_constant(name: str) -> object:
    raise NotAnObject(f"{name} is not a JSON value")


# typeshed takes the scanner's context for a scanner; the decoder that it is documented by is one
_scan: Final = make_scanner(json.JSONDecoder(parse_constant=_no_constant))  # type: ignore[arg-type]
