"""The circuit breaker as a state machine."""

import random
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.routing import breaker as machine
from common.routing.breaker import (
    CALM_MS,
    CLOSED,
    FAILURES,
    MOST_NEEDED,
    MOST_REST_MS,
    NEEDED,
    PROBES,
    REST_MS,
    SILENT_MS,
    SKEW_MS,
    VOLUME,
    Breaker,
    BreakerState,
    from_text,
    to_text,
)

NOW_MS: Final = 1_790_000_000_000
OPEN = Breaker(BreakerState.OPEN, NOW_MS, openings=1)
PAGE: Final = Path(__file__).parents[3] / "docs/routing.md"


def failing(breaker: Breaker, times: int, now_ms: int = NOW_MS) -> Breaker:
    """So many failures at once."""
    for _ in range(times):
        breaker = machine.failed(machine.started(breaker, now_ms), now_ms)
    return breaker


def probed(breaker: Breaker, times: int, now_ms: int) -> Breaker:
    """So many sound probes, one after the other."""
    for _ in range(times):
        assert machine.admits(breaker, now_ms)
        breaker = machine.answered(machine.started(breaker, now_ms), now_ms)
    return breaker


def admitted(breaker: Breaker, now_ms: int) -> int:
    """How many calls may go there at once, of ten that come together."""
    count = 0
    for _ in range(10):
        if machine.admits(breaker, now_ms):
            count += 1
            breaker = machine.started(breaker, now_ms)
    return count


class TestClosed:
    def test_opens_at_the_least_volume(self) -> None:
        """Some few failures in a row open it, and no fewer."""
        assert failing(CLOSED, VOLUME - 1).state is BreakerState.CLOSED
        opened = failing(CLOSED, VOLUME)
        assert (opened.state, opened.since_ms, opened.openings) == (BreakerState.OPEN, NOW_MS, 1)
        assert not machine.admits(opened, NOW_MS)

    @pytest.mark.parametrize(("answers", "failures"), [(10, 14), (40, 44)])
    def test_opens_by_the_rate(self, answers: int, failures: int) -> None:
        """With more traffic, half of it must fail."""
        busy = machine.answered(CLOSED, NOW_MS, answers)
        assert failing(busy, failures // 2).state is BreakerState.CLOSED
        assert failing(busy, failures).state is BreakerState.OPEN

    def test_failures_are_forgotten(self) -> None:
        """Failures that come one by one, minutes apart, do not open it."""
        breaker = CLOSED
        for number in range(100):
            breaker = machine.failed(breaker, NOW_MS + number * 60_000)
        assert breaker.state is BreakerState.CLOSED

    def test_history_does_not_blind(self) -> None:
        """After a million sound calls within a second, the latest 50 still decide."""
        busy = machine.answered(CLOSED, NOW_MS, 1_000_000)
        assert failing(busy, 50).state is BreakerState.OPEN

    def test_opens_by_slowness(self) -> None:
        """Slow answers open it, too, but it takes more of them."""
        assert machine.answered(CLOSED, NOW_MS, 9, slow=9).state is BreakerState.CLOSED
        assert machine.answered(CLOSED, NOW_MS, 10, slow=10).state is BreakerState.OPEN
        assert machine.answered(CLOSED, NOW_MS, 40, slow=24).state is BreakerState.CLOSED

    def test_admits_all(self) -> None:
        """While closed, everything may go there."""
        assert admitted(CLOSED, NOW_MS) == 10


class TestOpen:
    @pytest.mark.parametrize("call", [machine.failed, machine.answered])
    def test_is_not_moved_by_what_comes_late(self, call: object) -> None:
        """What was under way neither opens it longer nor closes it."""
        assert callable(call)
        assert call(OPEN, NOW_MS + REST_MS - 1) == OPEN

    def test_rests(self) -> None:
        """It admits nothing until its rest is over, then one probe."""
        assert admitted(OPEN, NOW_MS + REST_MS - 1) == 0
        assert admitted(OPEN, NOW_MS + REST_MS) == 1

    @pytest.mark.parametrize(("skew_ms", "admits"), [(-1, False), (-SKEW_MS, False), (-3_600_000, True)])
    def test_clock_set_back(self, skew_ms: int, admits: bool) -> None:  # noqa: FBT001
        """Clocks may differ a little; one that was set back by an hour keeps nothing open for that hour."""
        assert machine.admits(OPEN, NOW_MS + skew_ms) is admits


class TestHalfOpen:
    AT: Final = NOW_MS + REST_MS

    def test_probes_are_bounded(self) -> None:
        """One probe at first; once one was sound, three at a time, however many wait."""
        assert admitted(OPEN, self.AT) == 1
        assert admitted(probed(OPEN, 1, self.AT), self.AT) == 2
        needs_many = probed(replace(OPEN, needed=MOST_NEEDED), 20, self.AT)
        assert admitted(needs_many, self.AT) == PROBES

    def test_closes(self) -> None:
        """Enough sound probes close it; it counts from nothing."""
        assert probed(OPEN, NEEDED - 1, self.AT).state is BreakerState.HALF_OPEN
        closed = probed(OPEN, NEEDED, self.AT)
        assert (closed.state, closed.calls, closed.rest_ms) == (BreakerState.CLOSED, 0, REST_MS)

    @pytest.mark.parametrize("bad", ["failed", "slow"])
    def test_opens_again(self, bad: str) -> None:
        """The first bad probe opens it for twice as long, up to a bound."""
        breaker, now_ms = OPEN, NOW_MS
        for rest_ms in (REST_MS * 2, MOST_REST_MS, MOST_REST_MS):
            now_ms += breaker.rest_ms
            breaker = machine.started(breaker, now_ms)
            breaker = (
                machine.failed(breaker, now_ms)
                if bad == "failed"
                else machine.answered(breaker, now_ms, slow=1)
            )
            assert (breaker.state, breaker.rest_ms, breaker.since_ms) == (BreakerState.OPEN, rest_ms, now_ms)

    def test_rest_counts_from_the_probe(self) -> None:
        """The seconds that a probe took in vain are part of the rest that follows."""
        breaker = machine.failed(machine.started(OPEN, self.AT), self.AT + 4_000)
        assert machine.admits(breaker, self.AT + REST_MS * 2)
        assert not machine.admits(breaker, self.AT + REST_MS * 2 - 1)

    def test_probe_that_tells_nothing(self) -> None:
        """A probe whose client left makes room for the next, and changes nothing else."""
        breaker = machine.left(machine.started(OPEN, self.AT))
        assert (breaker.state, breaker.passed, admitted(breaker, self.AT)) == (BreakerState.HALF_OPEN, 0, 1)
        assert machine.left(breaker) == breaker

    def test_probe_that_is_lost(self) -> None:
        """A probe that is never heard of again does not keep it half-open for ever."""
        breaker = machine.started(OPEN, self.AT)
        assert admitted(breaker, self.AT + SILENT_MS - 1) == 0
        assert admitted(breaker, self.AT + SILENT_MS) == 1


class TestDamping:
    def cycle(self, breaker: Breaker, now_ms: int) -> Breaker:
        """Open it, and close it after its rest."""
        opened = failing(breaker, VOLUME, now_ms)
        assert opened.state is BreakerState.OPEN
        return probed(opened, opened.needed, now_ms + REST_MS)

    def test_soon_again(self) -> None:
        """Each time that it opens again soon, twice as many sound probes are needed, up to a bound."""
        breaker, needed = CLOSED, []
        for number in range(7):
            breaker = self.cycle(breaker, NOW_MS + number * 20_000)
            needed.append(breaker.needed)
        assert needed == [3, 6, 12, 24, 48, 48, 48]

    def test_after_a_calm(self) -> None:
        """What was well for minutes starts afresh."""
        breaker = self.cycle(self.cycle(CLOSED, NOW_MS), NOW_MS + 20_000)
        assert self.cycle(breaker, NOW_MS + 25_000 + CALM_MS).needed == NEEDED


def closings(rate: float, per_s: float, seed: int, *, slow: bool) -> tuple[int, int]:
    """How often it opens and closes in an hour of calls of which so many are bad."""
    rng, breaker, now_ms = random.Random(seed), CLOSED, NOW_MS
    opened = closed = 0
    while now_ms < NOW_MS + 3_600_000:
        now_ms += 1 + round(rng.expovariate(per_s) * 1000)
        if not machine.admits(breaker, now_ms):
            continue
        before = machine.started(breaker, now_ms)
        if rng.random() >= rate:
            breaker = machine.answered(before, now_ms)
        elif slow:
            breaker = machine.answered(before, now_ms, slow=1)
        else:
            breaker = machine.failed(before, now_ms)
        opened += breaker.state is BreakerState.OPEN and before.state is BreakerState.CLOSED
        closed += breaker.state is BreakerState.CLOSED and before.state is BreakerState.HALF_OPEN
    return opened, closed


@pytest.mark.parametrize("slow", [False, True], ids=["failures", "slowness"])
@pytest.mark.parametrize("per_s", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95, 1.0])
def test_no_flapping(rate: float, per_s: float, slow: bool) -> None:  # noqa: FBT001
    """At a steady rate of errors, whatever it is, a breaker settles: it closes at most eight times an hour.

    Up to three errors in ten at any traffic, it never opens; where all fail, it never closes.
    """
    for seed in range(3):
        opened, closed = closings(rate, per_s, seed, slow=slow)
        assert closed <= 8
        if rate <= 0.3:
            assert opened == 0
        if rate == 1.0:  # of slow calls, six a minute are too few to tell
            assert (opened, closed) == (0 if slow and per_s < 1 else 1, 0)


@given(st.integers(0, 2**32), st.sampled_from([0.3, 1.0, 20.0]), st.integers(0, 600), st.booleans())
def test_recovers(seed: int, per_s: float, ill_s: int, slow: bool) -> None:  # noqa: FBT001
    """However long a provider was ill, it is trusted again within 30 s at one request in 3 s or more.

    From its first illness in a while: who was ill again and again must prove more.
    """
    rng, breaker, now_ms = random.Random(seed), CLOSED, NOW_MS
    well_ms = NOW_MS + ill_s * 1000
    while now_ms < well_ms or breaker.state is not BreakerState.CLOSED:
        now_ms += round(1000 / per_s * rng.uniform(0.9, 1.0))
        assert now_ms - well_ms <= 30_000
        if not machine.admits(breaker, now_ms):
            continue
        breaker = machine.started(breaker, now_ms)
        if now_ms >= well_ms:
            breaker = machine.answered(breaker, now_ms)
        elif slow:
            breaker = machine.answered(breaker, now_ms, slow=1)
        else:
            breaker = machine.failed(breaker, now_ms)


EVENTS: Final = st.lists(
    st.tuples(st.integers(0, 20_000), st.sampled_from(["start", "answer", "slow", "fail", "leave"])),
    max_size=200,
)


def walk(events: list[tuple[int, str]]) -> list[Breaker]:
    """The breaker after each event, as it is then."""
    now_ms, breaker, seen = NOW_MS, CLOSED, [CLOSED]
    for pause_ms, event in events:
        now_ms += pause_ms
        seen.append(machine.rested(breaker, now_ms))
        match event:
            case "start":
                breaker = machine.started(breaker, now_ms)
            case "answer":
                breaker = machine.answered(breaker, now_ms)
            case "slow":
                breaker = machine.answered(breaker, now_ms, slow=1)
            case "fail":
                breaker = machine.failed(breaker, now_ms)
            case _:
                breaker = machine.left(breaker)
        seen.append(breaker)
    return seen


@given(EVENTS)
def test_any_walk(events: list[tuple[int, str]]) -> None:
    """Whatever happens in whatever order, counts and bounds hold, and openings are counted one by one."""
    walked = walk(events)
    for before, after in pairwise(walked):
        assert after.openings - before.openings in {0, 1}
        assert (after.openings > before.openings) == (
            after.state is BreakerState.OPEN and before.state is not BreakerState.OPEN
        )
        assert 0 <= after.failures <= after.calls + 1e-9
        assert after.probes >= 0
        assert REST_MS <= after.rest_ms <= MOST_REST_MS
        assert NEEDED <= after.needed <= MOST_NEEDED
        if after.state is BreakerState.CLOSED:
            assert after.failures < FAILURES * (after.calls + VOLUME)


@given(EVENTS)
def test_moves_as_drawn(events: list[tuple[int, str]]) -> None:
    """A breaker moves only along the arrows of the picture in docs/routing.md."""
    drawn = set(re.findall(r"^ *(\w+) --> (\w+)", PAGE.read_text(), re.MULTILINE))
    assert len(drawn) == 4
    walked = [each.state.value for each in walk(events)]
    moves = {(before, after) for before, after in pairwise(walked) if before != after}
    assert moves <= drawn


class TestBetweenInstances:
    @given(EVENTS)
    def test_text(self, events: list[tuple[int, str]]) -> None:
        """What others need comes through a short text."""
        for breaker in walk(events):
            text = to_text(breaker)
            assert len(text) < 40
            other = from_text(text)
            assert other is not None
            assert (other.since_ms, other.rest_ms, other.needed) == (
                breaker.since_ms,
                breaker.rest_ms,
                breaker.needed,
            )
            assert (other.state is BreakerState.CLOSED) == (breaker.state is BreakerState.CLOSED)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "open", "open 1 5000", "open 1 5000 3 4", "half_open 1 5000 3", "ajar 1 5000 3"),
            *("open x 5000 3", "open -1 5000 3", "open 1 999999999 3", "open 1 5000 0", "open 1 5000 1000"),
        ],
    )
    def test_what_is_no_state(self, text: str) -> None:
        """Anything else says nothing, and nothing out of bounds either."""
        assert from_text(text) is None

    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        """No text is too odd to be read."""
        assert from_text(text) is None or text.startswith(("open ", "closed "))

    def test_opened_elsewhere(self) -> None:
        """Who knows nothing better believes that it is open, and rests with it."""
        breaker = machine.told(CLOSED, OPEN, NOW_MS + 1)
        assert not machine.admits(breaker, NOW_MS + 1)
        assert admitted(breaker, NOW_MS + REST_MS) == 1

    def test_old_news_of_an_opening(self) -> None:
        """That it was open a minute ago is enough to begin with probes."""
        assert admitted(machine.told(CLOSED, OPEN, NOW_MS + 60_000), NOW_MS + 60_000) == 1

    def test_own_sound_calls_weigh_more(self) -> None:
        """An instance for which all goes well does not open because of another's trouble."""
        busy = machine.answered(CLOSED, NOW_MS, 20)
        assert machine.told(busy, replace(OPEN, since_ms=NOW_MS + 1), NOW_MS + 1) == busy
        idle_since = NOW_MS + 120_000
        told = machine.told(busy, replace(OPEN, since_ms=idle_since), idle_since)
        assert told.state is BreakerState.OPEN

    def test_closed_elsewhere(self) -> None:
        """Where another has found it well, it is closed here, too; late results of before are stale."""
        closed = Breaker(since_ms=NOW_MS + 1, needed=6)
        told = machine.told(OPEN, closed, NOW_MS + 1)
        assert (told.state, told.needed, told.openings) == (BreakerState.CLOSED, 6, 1)

    @pytest.mark.parametrize("since_ms", [NOW_MS, NOW_MS - 1, NOW_MS + SKEW_MS + 1])
    @pytest.mark.parametrize("state", [BreakerState.OPEN, BreakerState.CLOSED])
    def test_no_news(self, since_ms: int, state: BreakerState) -> None:
        """What is not later than what is known, or of the future, changes nothing."""
        assert machine.told(OPEN, Breaker(state, since_ms), NOW_MS) == OPEN

    def test_opening_makes_what_is_under_way_stale(self) -> None:
        """An opening that was told of counts like one's own."""
        assert machine.told(CLOSED, OPEN, NOW_MS).openings == 1
