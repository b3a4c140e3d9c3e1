"""What is wrong with a configuration, said so that it can be mended."""

import json
import re
from dataclasses import dataclass
from typing import Final

_BARE_KEY: Final = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in the configuration that cannot be used."""

    file: str
    key: str  # dotted; empty for the file as a whole
    expected: str

    def __str__(self) -> str:
        """On one line."""
        return f"{self.file}: {self.key}: {self.expected}" if self.key else f"{self.file}: {self.expected}"


class SettingsError(Exception):
    """The configuration has mistakes."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


def dotted(key: str, loc: tuple[int | str, ...]) -> str:
    """`loc` below `key`, as TOML writes it."""
    return ".".join([key, *(toml_key(part) if isinstance(part, str) else str(part) for part in loc)])


def toml_key(name: str) -> str:
    """As TOML writes it."""
    return name if _BARE_KEY.fullmatch(name) else quoted(name)


def quoted(name: str) -> str:
    """On one line, whatever is in it."""
    return json.dumps(name, ensure_ascii=not name.isprintable())


def expectation(kind: str, message: str, shape: type) -> str:
    """What pydantic's error of this kind comes down to, in a table of this shape."""
    match kind:
        case "unexpected_keyword_argument":
            known = ", ".join(name for name in shape.__dataclass_fields__ if not name.startswith("_"))  # type: ignore[attr-defined] # all shapes are dataclasses
            return f"not a known key; known: {known}"
        case "missing":
            return "required"
        case "dataclass_type" | "dataclass_exact_type":
            return "expected a table"
        case "too_short":
            return "expected at least one"
        case "value_error":
            return message.removeprefix("Value error, ")
        case _:
            return message.replace("Input should be", "expected").replace("Value should", "expected to")
