"""Patterns of model names. Pure.

`*` is any run of characters, slashes among them, `?` is one; all else is itself. A pattern is held against the whole
name, and upper case is not lower case.
"""

import re
from collections.abc import Iterable
from fnmatch import translate


class Globs:
    """Several patterns, of which one is enough. Compiled when made; none at all match everything."""

    __slots__ = ("_any", "_expression", "_names")

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        self._names = frozenset(each for each in patterns if not is_glob(each))
        globs = [_expression(each) for each in patterns if is_glob(each)]
        self._any = not patterns
        self._expression = re.compile("|".join(globs)) if globs else None

    def match(self, name: str) -> bool:
        """Whether a pattern is of this name.

        `name` may be a pattern itself. Then it says whether one of these matches all that `name` does: it stays on the
        safe side, for it looks at one at a time, and at how they are written (`a*` and `b*` together do not cover
        `?*`, nor does `*?` cover `?*`).
        """
        if self._any or name in self._names:
            return True
        return self._expression is not None and self._expression.match(name) is not None


def is_glob(pattern: str) -> bool:
    """Whether it is more than a name."""
    return "*" in pattern or "?" in pattern


def _expression(pattern: str) -> str:
    # a star is matched by a star alone, so that a pattern can be held against another; no name has one
    return translate(pattern.replace("[", "[[]").replace("?", "[!*]"))
