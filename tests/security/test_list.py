"""`docs/security.md` names only tests that there are, and leaves no row without a word."""

import re
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
PAGE: Final = (TESTS.parent / "docs/security.md").read_text()
NAMED: Final = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)
ROW: Final = re.compile(r"^\| (?:CVE|GHSA|PyPI|API|LLM)[^\n]*\|$", re.MULTILINE)


def declared_in(file: Path) -> set[str]:
    """The names of a file's tests."""
    return set(re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE))


def test_named_tests_exist() -> None:
    """Whatever is said to show a row is there."""
    assert len(NAMED) > 40
    assert [f"{file}::{name}" for file, name in NAMED if name not in declared_in(TESTS / file)] == []


def test_every_row_is_shown_or_open() -> None:
    """A row names a test, or says that it is open."""
    rows = ROW.findall(PAGE)
    assert len(rows) == 11 + 10 + 5
    assert [row for row in rows if "::test_" not in row and "| open" not in row] == []


def test_advisories_are_named_in_their_tests() -> None:
    """A test that stands for an advisory says so in its own words."""
    for row in ROW.findall(PAGE):
        for advisory in re.findall(r"CVE-\d+-\d+", row.split("|")[1]):
            files = [TESTS / file for file, _ in re.findall(r"`(security/[\w/]+\.py)::(test_\w+)`", row)]
            assert not files or any(advisory in file.read_text() for file in files), advisory
