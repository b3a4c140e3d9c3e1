"""The bound on coverage: both figures have to pass, each by itself; and what is left out is there, with a reason."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from infra.coverage import main, percents

REPOSITORY: Final = Path(__file__).parents[2]
REPORT: Final = (
    '<?xml version="1.0" ?>\n<coverage lines-valid="{lines}" lines-covered="{ran}"'
    ' branches-covered="{taken}" branches-valid="{branches}"></coverage>'
)


def report(folder: Path, ran: int, taken: int) -> str:
    """A file, of 1,000 lines and 200 branches."""
    path = folder / "coverage.xml"
    path.write_text(REPORT.format(lines=1_000, ran=ran, branches=200, taken=taken))
    return str(path)


@pytest.mark.parametrize(
    ("ran", "taken", "status", "told"),
    [
        (901, 181, 0, ""),
        (1_000, 180, 1, "of branches have"),
        (900, 200, 1, "of lines have"),
        (0, 0, 1, "of lines and of branches have"),
    ],
    ids=["enough", "branches", "lines", "neither"],
)
def test_bound(
    *, ran: int, taken: int, status: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More than 90 % of each, or the build fails and says of which there are too few."""
    assert main(report(tmp_path, ran, taken)) == status
    printed = capsys.readouterr()
    assert printed.out == f"coverage: {ran / 10:.2f} % of lines, {taken / 2:.2f} % of branches\n"
    assert told in printed.err


def test_nothing() -> None:
    """Of no branches all are taken."""
    text = REPORT.format(lines=10, ran=5, branches=0, taken=0)
    assert percents(text) == {"lines": 50.0, "branches": 100.0}


def test_what_is_left_out() -> None:
    """That are the files which only Pyodide can import, no others; each has its reason beside it."""
    text = (REPOSITORY / "pyproject.toml").read_text()
    omitted = tomllib.loads(text)["tool"]["coverage"]["run"]["omit"]
    of_pyodide = re.compile(r"^(?:import|from) (?:js|pyodide|workers)\b", re.MULTILINE)
    found = [path for folder in ("common", "functions") for path in (REPOSITORY / folder).rglob("*.py")]
    assert len(found) > 100
    assert sorted(omitted) == sorted(
        str(path.relative_to(REPOSITORY)) for path in found if of_pyodide.search(path.read_text())
    )
    for name in omitted:
        assert re.search(rf'"{re.escape(name)}", +# \w', text), name
