"""The page on routing says what the code does."""

import re
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = (Path(__file__).parents[3] / "docs/routing.md").read_text()
CONSTANTS: Final = re.findall(r"^\| `(\w+)\.([A-Z_]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE)


def test_there_are_constants() -> None:
    """The table is found."""
    assert len(CONSTANTS) >= 18


@pytest.mark.parametrize(("module", "name", "value"), CONSTANTS, ids=lambda value: value)
def test_constants(module: str, name: str, value: str) -> None:
    """Each constant that it explains has that value."""
    assert str(getattr(import_module(f"common.routing.{module}"), name)) == value
