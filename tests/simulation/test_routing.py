"""An hour in which a provider slows down, is silent, refuses, fails and rations, with a sound one behind it."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from common.routing.breaker import BreakerState
from common.routing.retry_budget import FLOOR, SHARE, WINDOW_S
from tests.simulation.outages import (
    FALLBACK,
    FIRST_TOKEN_LIMIT_S,
    PRIMARY,
    SPELLS,
    Diary,
    Illness,
    Spell,
    simulate,
)
from tests.simulation.outages_picture import picture

PICTURE: Final = Path(__file__).parents[2] / "docs/routing.svg"
SEEDS: Final = range(3)
RATES: Final = (1.0, 5.0, 20.0)  # calls a second
STEADY: Final = tuple(spell for spell in SPELLS if spell.illness not in {Illness.LIMITING, Illness.ERRATIC})


@cache
def hour(seed: int, per_s: float) -> Diary:
    """As it went."""
    return simulate(seed, per_s=per_s)


every_hour = pytest.mark.parametrize("per_s", RATES)


@every_hour
def test_success(per_s: float) -> None:
    """At least 999 of 1,000 calls are answered, and none waits for longer than one first token that never came."""
    for seed in SEEDS:
        diary = hour(seed, per_s)
        assert len(diary.answers) + len(diary.failures) == len(diary.calls) > 3_000 * per_s
        assert len(diary.failures) <= 0.001 * len(diary.calls)
        assert max(took_s for _, _, took_s in diary.answers) < FIRST_TOKEN_LIMIT_S + 5


@every_hour
def test_the_sick_provider_is_spared(per_s: float) -> None:
    """In no spell does a provider get more than 1.1 attempts for each call, but for the few retries of the floor."""
    for seed in SEEDS:
        for spell in SPELLS:
            diary = hour(seed, per_s)
            minutes = (spell.end_s - spell.start_s) / 60
            floor = FLOOR * (1 + minutes) / (per_s * 60 * minutes) if per_s < 5 else 0
            assert diary.load(spell.start_s, spell.end_s) <= 1.1 + floor


@every_hour
def test_a_dead_provider_is_left_alone(per_s: float) -> None:
    """Where nothing comes back at all, the breaker sees to it that few calls go there."""
    for seed in SEEDS:
        for spell in STEADY:
            assert hour(seed, per_s).load(spell.start_s + 30, spell.end_s) <= 0.5 / per_s


@every_hour
def test_retries_keep_to_their_budget(per_s: float) -> None:
    """Over the hour, and in every minute of it, both providers get no more retries than their budget."""
    for seed in SEEDS:
        diary = hour(seed, per_s)
        for model in (PRIMARY, FALLBACK):
            counts: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
            for at_s, where, is_retry in diary.attempts:
                if where is model:
                    counts[int(at_s // WINDOW_S)][is_retry] += 1
            requests, retries = map(sum, zip(*counts.values(), strict=True))
            assert retries <= FLOOR * (1 + len(counts)) + SHARE * requests
            busiest = max(requests for requests, _ in counts.values())
            assert max(retries for _, retries in counts.values()) <= 2 * max(FLOOR, SHARE * busiest) + FLOOR


@every_hour
def test_back_within_30_s(per_s: float) -> None:
    """Within 30 s after it is well, the provider answers again all that is asked of it."""
    for seed in SEEDS:
        for spell in SPELLS:
            assert hour(seed, per_s).back_s(spell.end_s) <= 30


def test_no_flapping() -> None:
    """In a spell of steady illness, calls do not go to and fro."""
    for seed in SEEDS:
        troubled = list[bool]()
        simulate(seed, watch=partial(_note, troubled))
        for spell in SPELLS:
            during = troubled[int(spell.start_s) : int(spell.end_s)]
            closings = sum(before and not after for before, after in pairwise(during))
            assert any(during)
            assert closings <= 3


def _note(seen: list[bool], troubled: Mapping[tuple[str, str], BreakerState]) -> None:
    seen.append(bool(troubled))


def test_twenty_calls_in_a_minute_of_failure() -> None:
    """A provider that is down for 60 s in which 20 calls come: all are answered, and it is back within 30 s."""
    for seed in range(20):
        for illness in (Illness.FAILING, Illness.REFUSING):
            spell = Spell(600, 660, illness)
            diary = simulate(seed, per_s=1 / 3, spells=(spell,))
            assert diary.failures == []
            first = min(at_s for at_s, who, _ in diary.answers if at_s >= spell.end_s and who is PRIMARY)
            assert first - spell.end_s <= 30
            asked = [at_s for at_s, where, _ in diary.attempts if where is PRIMARY]
            assert sum(spell.start_s + 25 <= at_s < spell.end_s for at_s in asked) <= 5


def test_without_a_spell() -> None:
    """A healthy hour has one attempt for each call, all of them at the first candidate, and no breaker opens."""
    seen: set[BreakerState] = set()
    diary = simulate(1, spells=(), watch=lambda troubled: seen.update(troubled.values()))
    assert {where for _, where, _ in diary.attempts} == {PRIMARY}
    assert len(diary.attempts) == len(diary.calls)
    assert seen == set()


def test_the_same_seed_is_the_same_hour() -> None:
    """An hour is a function of its seed."""
    assert simulate(7, per_s=1.0) == simulate(7, per_s=1.0) != simulate(8, per_s=1.0)


def test_picture() -> None:
    """The picture in the documentation is that of this code: `python -m tests.simulation.outages_picture` draws it."""
    assert PICTURE.read_text() == picture()
