"""What `sluice doctor` looks at."""

from dataclasses import dataclass

from common.providers.examination import Finding


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    finding: Finding
