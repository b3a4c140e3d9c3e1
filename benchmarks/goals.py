"""What the figures are held against."""

from dataclasses import dataclass
from typing import Final

IMPORT: Final = "import, ms (floor: fastapi)"
LAMBDA: Final = "lambda (floor: a blocking runtime)"
FIRST_BYTE: Final = "event to first byte, ms"
ADDED_P50: Final = "p50 added to the upstream's, ms"
ADDED_P99: Final = "p99 added to the upstream's, ms"
MEMORY: Final = "memory"
ROUTING: Final = "routing among 500 models, µs"
GROWN: Final = ("RSS grown over 20,000 requests, MB", "RSS grown over 2,000 aborted streams, MB")


@dataclass(frozen=True, slots=True)
class Goal:
    """An upper bound, on the ratio or on the value itself."""

    limit: float
    of_ratio: bool = True

    def met(self, value: float | None, ratio: float | None) -> bool | None:
        """Whether the figure keeps within it; None where it was not measured."""
        figure = ratio if self.of_ratio else value
        return None if figure is None else figure <= self.limit

    def __str__(self) -> str:
        """As the tables show it."""
        return f"≤ {self.limit:g}{' x' if self.of_ratio else ''}"


# By section and metric.
GOALS: Final = {
    ("requests-64", "CPU µs per request"): Goal(6.0),
    ("metered-64", "CPU µs per request"): Goal(8.0),
    ("streams-32", "CPU µs per stream"): Goal(1.0),
    ("slow-streams-200", ADDED_P99): Goal(5.0, of_ratio=False),
    **{(MEMORY, metric): Goal(5.0, of_ratio=False) for metric in GROWN},
    # every commit is synced to the disk; 0.5 where none is
    ("requests-1", ADDED_P50): Goal(1.0, of_ratio=False),
    (LAMBDA, FIRST_BYTE): Goal(1.5, of_ratio=False),
    (IMPORT, "functions.chat_completions"): Goal(1.3),
    (IMPORT, "functions.health"): Goal(1.1),
}
