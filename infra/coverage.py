"""Whether the tests run enough of the code: `.venv/bin/python -m infra.coverage coverage.xml` fails below 90 %.

Of lines and of branches, each by itself: coverage's own `fail_under` mixes the two, and there are five times as many
lines. What does not count, and why, is in pyproject.toml.
"""

import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

LEAST_PERCENT: Final = 90


def percents(report: str) -> dict[str, float]:
    """Of lines and of branches, by the text of a coverage.xml; of nothing, all."""
    root = ET.fromstring(report)
    found = {}
    for kind in ("lines", "branches"):
        covered, valid = (int(root.attrib[f"{kind}-{what}"]) for what in ("covered", "valid"))
        found[kind] = 100 * covered / valid if valid else 100.0
    return found


def main(path: str) -> int:
    """Say both; the exit status."""
    found = percents(Path(path).read_text())
    print("coverage:", ", ".join(f"{percent:.2f} % of {kind}" for kind, percent in found.items()))
    low = [kind for kind, percent in found.items() if percent <= LEAST_PERCENT]
    if low:
        print(
            f"Error: more than {LEAST_PERCENT} % of {' and of '.join(low)} have to be run by a test.",
            file=sys.stderr,
        )
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
