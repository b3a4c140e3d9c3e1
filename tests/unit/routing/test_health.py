"""What a process knows of its providers' health."""

import random
from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.routing.breaker import MOST_REST_MS, NEEDED, PROBES, REST_MS, VOLUME, Breaker, BreakerState
from common.routing.health import FOLD_MS, FORGET_MS, LEARN, MOST_TARGETS, RECENT_MS, SLOW, SLOW_S, Health
from common.routing.recourse import Recourse
from common.routing.retry_budget import FLOOR

NOW_MS: Final = 1_790_000_000_000


class Model(NamedTuple):
    """A target."""

    provider: str
    model: str = "m"


A, B, C = Model("a"), Model("b"), Model("c")


def call(
    health: Health, target: Model, now_ms: int, recourse: Recourse | None = None, ttft_s: float | None = None
) -> None:
    """One attempt that begins and ends now."""
    health.ended(target, health.started(target, now_ms), now_ms, recourse, first_token_s=ttft_s)


def opened(*targets: Model) -> Health:
    """Health in which these have failed."""
    health = Health()
    for target in targets:
        for _ in range(VOLUME):
            call(health, target, NOW_MS, Recourse.HERE)
    return health


def states(health: Health, now_ms: int) -> dict[str, BreakerState]:
    """Those that are not closed, by provider."""
    return {provider: state for (provider, _), state in health.troubled(now_ms).items()}


class TestOrder:
    def test_all_well(self) -> None:
        """While all is well, the candidates come back as they are."""
        candidates = [B, A]
        assert Health().open_last(candidates, NOW_MS) is candidates
        assert Health().admits(A, NOW_MS)

    def test_open_ones_go_last(self) -> None:
        """Those that are open go behind all others, in their order, and none is lost."""
        health = opened(A, C)
        assert health.open_last([A, B, C], NOW_MS) == [B, A, C]
        assert health.open_last([C, A], NOW_MS) == [C, A]
        assert health.open_last([A], NOW_MS) == [A]

    def test_model_by_model(self) -> None:
        """One model's trouble is not another's at the same provider."""
        other = Model("a", "other")
        assert opened(A).open_last([A, other], NOW_MS) == [other, A]

    def test_probe(self) -> None:
        """After its rest, one request goes there in its old place, and the next ones meanwhile do not."""
        health, later = opened(A), NOW_MS + REST_MS
        assert health.open_last([A, B], later) == [A, B]
        opening = health.started(A, later)
        assert health.open_last([A, B], later) == [B, A]
        health.ended(A, opening, later, None)
        for _ in range(NEEDED - 1):
            call(health, A, later)
        assert states(health, later) == {}

    @pytest.mark.parametrize(
        "recourse", [each for each in Recourse if not each.blames_provider], ids=lambda each: each.value
    )
    def test_not_the_providers_fault(self, recourse: Recourse) -> None:
        """What a client can bring about opens nothing, closes nothing, and gives its place as a probe back."""
        health = Health()
        for _ in range(100):
            call(health, A, NOW_MS, recourse)
        assert states(health, NOW_MS) == {}
        health, later = opened(A), NOW_MS + REST_MS
        for _ in range(10):
            assert health.admits(A, later)
            call(health, A, later, recourse)
        assert states(health, later) == {"a": BreakerState.HALF_OPEN}

    def test_late_results(self) -> None:
        """What began before it opened says nothing of how it is afterwards."""
        health = Health()
        early = [health.started(A, NOW_MS) for _ in range(30)]
        for opening in early[:VOLUME]:
            health.ended(A, opening, NOW_MS, Recourse.ELSEWHERE)
        later = NOW_MS + REST_MS
        probe = health.started(A, later)
        for number, opening in enumerate(early[VOLUME:]):
            health.ended(A, opening, later, Recourse.ELSEWHERE if number % 2 else None)
        assert states(health, later) == {"a": BreakerState.HALF_OPEN}
        health.ended(A, probe, later, None)
        assert health.open_last([A, B], later) == [A, B]

    def test_mixed_with_sound_calls(self) -> None:
        """Failures are held against all the calls that went well, also those of this very second."""
        health = Health()
        for _ in range(40):
            call(health, A, NOW_MS)
        for _ in range(30):
            call(health, A, NOW_MS, Recourse.HERE)
        assert states(health, NOW_MS) == {}

    def test_sound_calls_of_long_ago(self) -> None:
        """What went well an hour ago hides no failure of now."""
        health, later = Health(), NOW_MS + 3_600_000
        for _ in range(50):
            call(health, A, NOW_MS)
        for _ in range(VOLUME):
            call(health, A, later, Recourse.HERE)
        assert states(health, later) == {"a": BreakerState.OPEN}


class TestSpeed:
    def learnt(self, usual_s: float) -> Health:
        """Health that knows what is usual."""
        health = Health()
        for number in range(20):
            call(health, A, NOW_MS + number * FOLD_MS, ttft_s=usual_s)
        return health

    @pytest.mark.parametrize(
        ("usual_s", "ttft_s", "opens"),
        [
            pytest.param(0.4, 20.0, True, id="brown-out"),
            pytest.param(0.01, SLOW_S, False, id="still fast"),
            pytest.param(2.0, SLOW * 2.0 - 0.1, False, id="not much slower than usual"),
            pytest.param(40.0, 100.0, False, id="a model that thinks"),
            pytest.param(40.0, 400.0, True, id="a model that thinks, and is slow"),
        ],
    )
    def test_slow(self, usual_s: float, ttft_s: float, opens: bool) -> None:  # noqa: FBT001
        """Slowness is against what is usual for the model, and some seconds at least; it opens the breaker."""
        health = self.learnt(usual_s)
        for number in range(60):
            call(health, A, NOW_MS + 20 * FOLD_MS + number * 500, ttft_s=ttft_s)
        assert bool(health.troubled(NOW_MS)) is opens

    def test_nothing_is_usual_at_first(self) -> None:
        """The first calls of all only teach, whatever they take."""
        health = Health()
        for _ in range(LEARN):
            call(health, A, NOW_MS, ttft_s=90.0)
        for _ in range(50):
            call(health, A, NOW_MS, ttft_s=100.0)
        assert states(health, NOW_MS) == {}

    def test_lasting_slowness_becomes_usual(self) -> None:
        """A model that is slower for good comes back by itself, within half an hour."""
        health, now_ms = self.learnt(0.7), NOW_MS + 20 * FOLD_MS
        for _ in range(1_800):
            now_ms += 1_000
            if health.admits(A, now_ms):
                call(health, A, now_ms, ttft_s=5.0)
        assert states(health, now_ms) == {}
        assert health.first_token_s(A, now_ms) == pytest.approx(5.0)

    def test_observed(self) -> None:
        """The latest calls tell the speed; nothing is told of what was never seen, or long ago."""
        health = Health()
        assert health.first_token_s(A, NOW_MS) is None
        assert health.tokens_per_s(A, NOW_MS) is None
        for ttft_s, rate in ((1.0, 50.0), (2.0, 100.0)):
            opening = health.started(A, NOW_MS)
            health.ended(A, opening, NOW_MS, None, first_token_s=ttft_s, tokens_per_s=rate)
        assert health.first_token_s(A, NOW_MS) == pytest.approx(1.2)
        assert health.tokens_per_s(A, NOW_MS) == pytest.approx(60.0)
        assert health.first_token_s(B, NOW_MS) is None
        later = NOW_MS + FORGET_MS + 1
        assert (health.first_token_s(A, later), health.tokens_per_s(A, later)) == (None, None)
        opening = health.started(A, later)
        health.ended(A, opening, later, None, first_token_s=9.0, tokens_per_s=9.0)
        assert (health.first_token_s(A, later), health.tokens_per_s(A, later)) == (9.0, 9.0)

    def test_whole_answers_tell_no_speed(self) -> None:
        """They keep no old one alive, either: what was slow long ago is given another try."""
        health = Health()
        call(health, A, NOW_MS, ttft_s=9.0)
        call(health, A, NOW_MS + FORGET_MS)
        assert health.first_token_s(A, NOW_MS + FORGET_MS) == 9.0
        assert health.first_token_s(A, NOW_MS + FORGET_MS + 1) is None

    def test_expected(self) -> None:
        """An answer takes its first token's time, and its tokens at their rate, as far as these are known."""
        health = Health()
        assert health.expected_s(NOW_MS)(A, 100) is None
        call(health, A, NOW_MS, ttft_s=1.0)
        assert health.expected_s(NOW_MS)(A, 100) == 1.0
        health.ended(A, health.started(A, NOW_MS), NOW_MS, None, first_token_s=1.0, tokens_per_s=50.0)
        assert health.expected_s(NOW_MS)(A, 100) == 3.0
        assert health.expected_s(NOW_MS + FORGET_MS + 1)(A, 100) is None


class TestRetries:
    def test_floor_and_share(self) -> None:
        """A provider's retries are bounded over all of its models, and no other's."""
        health = Health()
        assert sum(health.may_retry(A, NOW_MS) for _ in range(100)) == FLOOR
        assert health.may_retry(B, NOW_MS)
        for number in range(500):
            call(health, Model("c", str(number % 3)), NOW_MS)
        assert sum(health.may_retry(C, NOW_MS) for _ in range(100)) == 50

    def test_not_where_it_is_open(self) -> None:
        """A probe that failed is not tried again, nor what opened meanwhile."""
        health, later = opened(A), NOW_MS + REST_MS
        assert not health.may_retry(A, NOW_MS)
        call(health, A, later, Recourse.HERE)
        assert not health.may_retry(A, later)
        assert sum(health.may_retry(Model("a", "other"), later) for _ in range(100)) == FLOOR

    def test_retries_earn_none(self) -> None:
        """A retry is no request that would allow another."""
        health = Health()
        for _ in range(500):
            health.started(A, NOW_MS, retry=True)
        assert sum(health.may_retry(A, NOW_MS) for _ in range(100)) == FLOOR

    def test_old_requests(self) -> None:
        """Requests of an hour ago allow nothing now, also where nobody asked meanwhile."""
        health = Health()
        for _ in range(5_000):
            health.started(A, NOW_MS)
        later = NOW_MS + 3_600_000
        health.started(A, later)
        assert sum(health.may_retry(A, later) for _ in range(100)) == FLOOR


class TestBounds:
    def test_names_that_clients_make_up(self) -> None:
        """However many models are named, no more are kept, and trouble is the last to be forgotten."""
        health = opened(A)
        for number in range(3 * MOST_TARGETS):
            call(health, Model("wild", str(number)), NOW_MS + number)
        later = NOW_MS + 3 * MOST_TARGETS
        assert len(health.recent(later)) <= MOST_TARGETS
        assert states(health, later) == {"a": BreakerState.OPEN}

    def test_troubled_ones_are_bounded_too(self) -> None:
        """Also where all of them fail."""
        health = Health()
        for number in range(2 * MOST_TARGETS):
            for _ in range(VOLUME):
                call(health, Model("wild", str(number)), NOW_MS, Recourse.ELSEWHERE)
        assert len(health.troubled(NOW_MS)) <= MOST_TARGETS
        assert len(health.take_changes()) <= MOST_TARGETS

    def test_forgotten_while_under_way(self) -> None:
        """An attempt whose target was forgotten meanwhile ends without a trace."""
        health = Health()
        opening = health.started(A, NOW_MS - RECENT_MS)
        for number in range(MOST_TARGETS):
            call(health, Model("wild", str(number)), NOW_MS)
        health.ended(A, opening, NOW_MS, Recourse.HERE)
        assert states(health, NOW_MS) == {}

    @given(st.integers(0, 2**32))
    def test_probes_are_bounded(self, seed: int) -> None:
        """Whatever comes in whatever order, no more probes are under way than allowed, if none is silent."""
        rng, health, now_ms = random.Random(seed), opened(A), NOW_MS
        probes: list[int] = []
        for _ in range(200):
            now_ms += rng.randrange(50)
            half_open = states(health, now_ms).get("a") is BreakerState.HALF_OPEN
            if health.admits(A, now_ms):
                opening = health.started(A, now_ms)
                probes = [*probes, opening] if half_open else []
                assert len(probes) <= PROBES
            elif probes and rng.random() < 0.5:
                health.ended(A, probes.pop(), now_ms, rng.choice([None, None, None, Recourse.HERE]))
                if states(health, now_ms).get("a") is not BreakerState.HALF_OPEN:
                    probes = []
                    now_ms += MOST_REST_MS


class TestChanges:
    def test_taken_once(self) -> None:
        """What opened or closed is told once, as it is in the end."""
        health, later = opened(A), NOW_MS + REST_MS
        assert health.has_changes()
        assert [each.state for each in health.take_changes().values()] == [BreakerState.OPEN]
        assert not health.has_changes()
        for _ in range(NEEDED):
            assert not health.has_changes()
            call(health, A, later)
        changes = health.take_changes()
        assert {key: each.state for key, each in changes.items()} == {A: BreakerState.CLOSED}

    def test_told(self) -> None:
        """What another instance tells is believed, and not told on."""
        health = Health()
        call(health, A, NOW_MS)
        health.tell(A, Breaker(BreakerState.OPEN, NOW_MS), NOW_MS)
        assert health.open_last([A, B], NOW_MS) == [B, A]
        assert not health.has_changes()
        health.tell(A, Breaker(since_ms=NOW_MS + 1), NOW_MS + 1)
        assert health.open_last([A, B], NOW_MS) == [A, B]

    def test_told_against_what_was_just_seen(self) -> None:
        """Sound calls of this very second are seen before another's trouble is believed."""
        health = Health()
        call(health, A, NOW_MS - FOLD_MS)
        for _ in range(20):
            call(health, A, NOW_MS)
        health.tell(A, Breaker(BreakerState.OPEN, NOW_MS), NOW_MS)
        assert states(health, NOW_MS) == {}

    def test_told_of_strangers(self) -> None:
        """What another instance tells is known before the first call here."""
        health = Health()
        health.tell(A, Breaker(BreakerState.OPEN, NOW_MS), NOW_MS)
        assert states(health, NOW_MS) == {"a": BreakerState.OPEN}
        assert health.open_last([A, B], NOW_MS) == [B, A]

    def test_recent(self) -> None:
        """What was called within a minute is worth asking others about."""
        health = Health()
        call(health, A, NOW_MS)
        call(health, B, NOW_MS + RECENT_MS)
        assert list(health.recent(NOW_MS + RECENT_MS)) == [B]
