"""An hour of virtual time in which a provider falls ill in every way, and calls that go by routing's decisions alone.

No I/O and no event loop: a call is a generator that yields how long it waits. All is drawn from one seed.
"""

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from typing import Final, NamedTuple, TypeAlias

from common.model.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from common.routing.backoff import pause_s
from common.routing.breaker import BreakerState
from common.routing.health import Health
from common.routing.recourse import Recourse, recourse

HOUR_S: Final = 3_600.0
DEADLINE_S: Final = 60.0
FIRST_TOKEN_LIMIT_S: Final = 12.0
USUAL_S: Final = 0.4  # to the first token
EPOCH_MS: Final = 1_790_000_000_000


class Illness(StrEnum):
    """What a provider suffers from."""

    SLOW = "brown-out: 50 times as slow"
    SILENT = "black-out: silence"
    REFUSING = "black-out: no connection"
    FAILING = "black-out: 503"
    LIMITING = "rate limit: 2 a second"
    ERRATIC = "half of all: 500"


class Spell(NamedTuple):
    """A time of illness, in seconds."""

    start_s: float
    end_s: float
    illness: Illness


SPELLS: Final = (
    Spell(300, 600, Illness.SLOW),
    Spell(900, 1_020, Illness.SILENT),
    Spell(1_200, 1_260, Illness.REFUSING),
    Spell(1_500, 1_800, Illness.FAILING),
    Spell(2_100, 2_520, Illness.LIMITING),
    Spell(2_820, 3_120, Illness.ERRATIC),
)


class Model(NamedTuple):
    """Where a call can go."""

    provider: str
    model: str = "m"


PRIMARY: Final = Model("primary")
FALLBACK: Final = Model("fallback")


class Reply(NamedTuple):
    """What becomes of an attempt, and after how long: its first token, or its failure."""

    took_s: float
    error: UpstreamError | None = None


class Provider:
    """Well but for its spells."""

    def __init__(self, rng: random.Random, spells: tuple[Spell, ...] = ()) -> None:
        self._rng = rng
        self._spells = spells
        self._allowed, self._allowed_s = 2.0, 0.0

    def reply(self, now_s: float) -> Reply:
        """To an attempt that begins now."""
        usual_s = USUAL_S * self._rng.lognormvariate(0, 0.3)
        illness = next((each.illness for each in self._spells if each.start_s <= now_s < each.end_s), None)
        match illness:
            case None:
                return Reply(usual_s)
            case Illness.SLOW:
                return _limited(usual_s * 50)
            case Illness.SILENT:
                return _limited(HOUR_S)
            case Illness.REFUSING | Illness.FAILING:
                return _DOWN[illness]
            case Illness.ERRATIC:
                broken = UpstreamBroken("500") if self._rng.random() < 0.5 else None
                return Reply(usual_s, broken)
            case Illness.LIMITING:
                return Reply(usual_s) if self._allows(now_s) else Reply(0.05, _RATE_LIMITED)

    def _allows(self, now_s: float) -> bool:
        self._allowed = min(2.0, self._allowed + 2.0 * (now_s - self._allowed_s))
        self._allowed_s = now_s
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True


_DOWN: Final = {
    Illness.REFUSING: Reply(0.01, UpstreamUnreachable("refused")),
    Illness.FAILING: Reply(0.1, UpstreamFailed("503")),
}
_RATE_LIMITED: Final = UpstreamRateLimited("slower", retry_after_s=1.0)


def _limited(took_s: float) -> Reply:
    if took_s > FIRST_TOKEN_LIMIT_S:
        return Reply(FIRST_TOKEN_LIMIT_S, UpstreamTimeout("silence"))
    return Reply(took_s)


@dataclass
class Diary:
    """What happened, in seconds."""

    calls: list[float] = field(default_factory=list)  # when each began
    attempts: list[tuple[float, Model, bool]] = field(default_factory=list)  # when, where, whether a retry
    answers: list[tuple[float, Model, float]] = field(
        default_factory=list
    )  # when begun, by whom, after how long
    failures: list[float] = field(default_factory=list)  # of calls: when begun

    def load(self, start_s: float, end_s: float) -> float:
        """Attempts at the primary for each call."""
        asked = sum(where is PRIMARY and start_s <= at_s < end_s for at_s, where, _ in self.attempts)
        return asked / max(1, sum(start_s <= at_s < end_s for at_s in self.calls))

    def back_s(self, end_s: float) -> float:
        """How long after `end_s` the first of ten calls began that the primary answered in a row."""
        first_s, row = end_s, 0
        for at_s, who, _ in sorted(each for each in self.answers if each[0] >= end_s):
            first_s = at_s if row == 0 else first_s
            row = row + 1 if who is PRIMARY else 0
            if row == 10:
                return first_s - end_s
        return HOUR_S


Watch: TypeAlias = Callable[[Mapping[tuple[str, str], BreakerState]], None]


def simulate(
    seed: int, *, per_s: float = 5.0, spells: tuple[Spell, ...] = SPELLS, watch: Watch | None = None
) -> Diary:
    """An hour of calls, `per_s` of them on average. `watch` is shown once a second which breakers are not closed."""
    rng = random.Random(seed)
    providers = {PRIMARY: Provider(rng, spells), FALLBACK: Provider(rng)}
    health, diary = Health(), Diary()
    due: list[tuple[float, int, Generator[float, float, None]]] = []
    made = 0

    def start(at_s: float, work: Generator[float, float, None]) -> None:
        nonlocal made
        made += 1
        next(work)
        heappush(due, (at_s, made, work))

    start(0.0, _arrivals(rng, per_s, lambda at_s: start(at_s, _call(at_s, rng, health, providers, diary))))
    if watch is not None:
        start(0.0, _watching(watch, health))
    while due:
        now_s, number, work = heappop(due)
        try:
            heappush(due, (now_s + work.send(now_s), number, work))
        except StopIteration:
            continue
    return diary


def _arrivals(
    rng: random.Random, per_s: float, arrive: Callable[[float], None]
) -> Generator[float, float, None]:
    now_s = yield 0.0
    while now_s < HOUR_S:
        arrive(now_s)
        now_s = yield rng.expovariate(per_s)


def _watching(watch: Watch, health: Health) -> Generator[float, float, None]:
    now_s = yield 0.0
    while now_s < HOUR_S:
        watch(health.troubled(_ms(now_s)))
        now_s = yield 1.0


def _call(
    began_s: float, rng: random.Random, health: Health, providers: dict[Model, Provider], diary: Diary
) -> Generator[float, float, None]:
    """As the gateway makes it: retries at one candidate, then the next."""
    now_s = yield 0.0
    diary.calls.append(began_s)
    candidates = list(health.open_last((PRIMARY, FALLBACK), _ms(now_s)))
    for place, candidate in enumerate(candidates):
        first_s, attempts = now_s, 0
        while True:
            diary.attempts.append((now_s, candidate, attempts > 0))
            opening = health.started(candidate, _ms(now_s), retry=attempts > 0)
            attempts += 1
            took_s, error = providers[candidate].reply(now_s)
            now_s = yield took_s
            if error is None:
                health.ended(candidate, opening, _ms(now_s), None, first_token_s=took_s)
                diary.answers.append((began_s, candidate, now_s - began_s))
                return
            what = recourse(error)
            health.ended(candidate, opening, _ms(now_s), what)
            if what is not Recourse.HERE:
                break
            pause = pause_s(
                attempts,
                rng.random(),
                spent_s=now_s - first_s,
                remaining_s=began_s + DEADLINE_S - now_s,
                alone=place == len(candidates) - 1,
                retry_after_s=error.retry_after_s,
            )
            if pause is None or not health.may_retry(candidate, _ms(now_s)):
                break
            now_s = yield pause
    diary.failures.append(began_s)


def _ms(now_s: float) -> int:
    return EPOCH_MS + round(now_s * 1000)
