"""Which targets there are to know the health of, and which models have nobody left."""

from collections.abc import Sequence
from typing import Final

import pytest

from common.routing.availability import candidates_of, degraded, keys_of
from common.settings import parse_settings

A, B, C = ("one", "vendor/a"), ("two", "a"), ("two", "c")
SETTINGS: Final = parse_settings(
    """
    [providers.one]
    kind = "openai"
    base_url = "http://one/v1"
    [providers.two]
    kind = "openai"
    base_url = "http://two/v1"
    [models.first]
    targets = ["one/vendor/a", "two/a"]
    [models.alone]
    targets = ["two/c"]
    [models.again]
    targets = ["two/a", "two/c"]
    [models."any/*"]
    targets = ["two/*"]
    [aliases]
    other = "alone"
    """,
    {},
)


def test_targets() -> None:
    """Each once, in the order in which they are written; none with a star, for nobody knows what it stands for."""
    assert list(keys_of(SETTINGS)) == [A, B, C]
    assert [candidate.to for candidate in candidates_of(SETTINGS)] == ["one/vendor/a", "two/a", "two/c"]
    assert list(keys_of(parse_settings("", {}))) == []


@pytest.mark.parametrize(
    ("troubled", "models"),
    [
        ([], []),
        ([A], []),
        ([C], ["alone"]),
        ([A, B], ["first"]),
        ([B, C], ["alone", "again"]),
        ([A, B, C, ("two", "unknown")], ["first", "alone", "again"]),
    ],
)
def test_degraded(troubled: Sequence[tuple[str, str]], models: list[str]) -> None:
    """A model that has one target left is none."""
    assert list(degraded(SETTINGS, troubled)) == models
