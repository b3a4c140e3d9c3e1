"""Figures as they are measured, round by round, and the one way they are condensed."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Ledger:
    """One value per (section, metric), contender and round."""

    _values: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)

    def add(self, section: str, metric: str, contender: str, value: float) -> None:
        """Write down a round's value."""
        self._values.setdefault((section, metric), {}).setdefault(contender, []).append(value)

    def metrics(self) -> list[tuple[str, str]]:
        """Each (section, metric), sections together, otherwise in the order of their first values."""
        sections = list(dict.fromkeys(section for section, _ in self._values))
        return sorted(self._values, key=lambda each: sections.index(each[0]))

    def of(self, section: str, metric: str, contender: str) -> list[float]:
        """The rounds' values; empty where nothing was measured."""
        return self._values.get((section, metric), {}).get(contender, [])


def ratios(values: list[float], base: list[float]) -> list[float]:
    """Each round's value over the same round's base: what slows a whole round cancels out."""
    return [value / beside for value, beside in zip(values, base, strict=False) if beside]
