"""What a process knows of its providers' health: a breaker and speeds for each model, a retry budget for each provider.

Decisions are in `breaker.py` and `retry_budget.py`. A sound call in sound times only adds to a count here, and what has
come together is handed on once in `FOLD_MS`. Times are UTC milliseconds. Nothing here awaits, so nothing locks.

A call is slow where its first token takes `SLOW` times as long as is usual for its model there, and `SLOW_S` at least:
a model that thinks is slow by nature. What is lastingly slower becomes usual, by 1 % with each call.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from common.routing import breaker as breakers
from common.routing.breaker import CLOSED, Breaker, BreakerState
from common.routing.recourse import Recourse
from common.routing.retry_budget import RetryBudget, requested, retried

FOLD_MS: Final = 1_000
RECENT_MS: Final = 60_000
MOST_TARGETS: Final = 1_024  # with wildcards, clients name them
SLOW: Final = 5.0
SLOW_S: Final = 3.0
LEARN: Final = 5  # calls, before there is anything usual
FORGET_MS: Final = (
    300_000  # a speed that is older says nothing: else a slow target would never be tried again
)
_LATEST: Final = 0.2  # how much of a speed is the latest call's
_USUAL: Final = 0.05
_CREEP: Final = 1.01


class Target(Protocol):
    """A model at a provider."""

    @property
    def provider(self) -> str:
        """By its name in the configuration."""

    @property
    def model(self) -> str:
        """By the provider's own name."""


T = TypeVar("T", bound=Target)


class _Seen:
    """Of one target."""

    __slots__ = (
        "answered",
        "breaker",
        "first_token_s",
        "folded_ms",
        "learnt",
        "slow",
        "timed_ms",
        "tokens_per_s",
        "usual_s",
    )

    def __init__(self) -> None:
        self.breaker: Breaker = CLOSED
        self.answered = self.slow = 0  # since `folded_ms`, while closed
        self.folded_ms = self.timed_ms = 0
        self.first_token_s: float | None = None
        self.tokens_per_s: float | None = None
        self.usual_s = 0.0
        self.learnt = 0

    def fold(self, now_ms: int) -> None:
        if self.answered:
            at_ms = min(now_ms, self.folded_ms + FOLD_MS)  # by then, all of them had come
            self.breaker = breakers.answered(self.breaker, at_ms, self.answered, slow=self.slow)
            self.answered = self.slow = 0
        self.folded_ms = now_ms

    def timed(self, first_token_s: float | None, tokens_per_s: float | None, now_ms: int) -> bool:
        """Note how fast an answer was; whether it was slow. One in a single piece tells nothing of that."""
        if first_token_s is None and tokens_per_s is None:
            return False
        if now_ms - self.timed_ms > FORGET_MS:
            self.first_token_s = self.tokens_per_s = None
        self.timed_ms = now_ms
        if tokens_per_s is not None:
            self.tokens_per_s = _mixed(self.tokens_per_s, tokens_per_s)
        if first_token_s is None:
            return False
        self.first_token_s = _mixed(self.first_token_s, first_token_s)
        if self.learnt < LEARN:
            self.learnt += 1
            self.usual_s += (first_token_s - self.usual_s) / self.learnt
            return False
        if first_token_s > SLOW_S and first_token_s > SLOW * self.usual_s:
            self.usual_s *= _CREEP
            return True
        self.usual_s += _USUAL * (first_token_s - self.usual_s)
        return False


class _Load:
    """Of one provider."""

    __slots__ = ("budget", "folded_ms", "requests")

    def __init__(self) -> None:
        self.budget = RetryBudget()
        self.requests = self.folded_ms = 0

    def fold(self, now_ms: int) -> None:
        self.budget = requested(self.budget, min(now_ms, self.folded_ms + FOLD_MS), self.requests)
        self.requests, self.folded_ms = 0, now_ms


class Health:
    """One for each process. Call `started` and `ended` for every attempt, also for those that are retries."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._loads: dict[str, _Load] = {}
        self._troubled: set[tuple[str, str]] = set()  # whose breaker is not closed
        self._changed: dict[tuple[str, str], Breaker] = {}  # opened or closed, and nobody was told

    # -- before an attempt

    def admits(self, target: Target, now_ms: int) -> bool:
        """Whether it may go before others; a half-open one takes a few, as probes."""
        key = (target.provider, target.model)
        return key not in self._troubled or breakers.admits(self._seen[key].breaker, now_ms)

    def open_last(self, candidates: Sequence[T], now_ms: int) -> Sequence[T]:
        """The same, in their order, but those behind that are not admitted."""
        if not self._troubled or len(candidates) < 2:
            return candidates
        return sorted(candidates, key=lambda each: not self.admits(each, now_ms))

    def may_retry(self, target: Target, now_ms: int) -> bool:
        """Whether it may be asked once more for one call: then that is counted, so ask last of all.

        Not where its breaker has opened meanwhile, as by a probe that failed, nor beyond its provider's budget.
        """
        if not self.admits(target, now_ms):
            return False
        load = self._load(target.provider)
        load.fold(now_ms)
        budget = retried(load.budget, now_ms)
        if budget is None:
            return False
        load.budget = budget
        return True

    # -- an attempt

    def started(self, target: Target, now_ms: int, *, retry: bool = False) -> int:
        """An attempt begins. `retry`: the provider has been asked for this call before. Hand the result to `ended`."""
        if not retry:
            load = self._loads.get(target.provider) or self._load(target.provider)
            if now_ms - load.folded_ms >= FOLD_MS:
                load.fold(now_ms)
            load.requests += 1
        key = (target.provider, target.model)
        seen = self._seen.get(key) or self._add(key)
        if key in self._troubled:
            self._change(key, seen, breakers.started(seen.breaker, now_ms))
        return seen.breaker.openings

    def ended(
        self,
        target: Target,
        began: int,
        now_ms: int,
        recourse: Recourse | None,
        *,
        first_token_s: float | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        """An attempt has ended. `began`: what `started` gave for it. `recourse` None: it was answered.

        `first_token_s`: from sending to the first content of a stream. An attempt that tells nothing (its client left)
        has ended with `Recourse.NOWHERE`.
        """
        key = (target.provider, target.model)
        seen = self._seen.get(key)
        if seen is None or seen.breaker.openings != began:
            return  # forgotten, or from before it opened
        if recourse is None:
            slow = seen.timed(first_token_s, tokens_per_s, now_ms)
            if key not in self._troubled:
                if now_ms - seen.folded_ms >= FOLD_MS or slow:
                    self._fold(key, seen, now_ms)
                seen.answered += 1
                seen.slow += slow
                return
            after = breakers.answered(seen.breaker, now_ms, slow=int(slow))
        elif recourse.blames_provider:
            self._fold(key, seen, now_ms)
            after = breakers.failed(seen.breaker, now_ms)
        else:
            after = breakers.left(seen.breaker)
        self._change(key, seen, after)

    # -- what is known

    def first_token_s(self, target: Target, now_ms: int) -> float | None:
        """How long a first token took of late; None: nobody knows."""
        seen = self._seen.get((target.provider, target.model))
        return None if seen is None or now_ms - seen.timed_ms > FORGET_MS else seen.first_token_s

    def tokens_per_s(self, target: Target, now_ms: int) -> float | None:
        """How fast tokens came of late, after the first; None: nobody knows."""
        seen = self._seen.get((target.provider, target.model))
        return None if seen is None or now_ms - seen.timed_ms > FORGET_MS else seen.tokens_per_s

    def expected_s(self, now_ms: int) -> Callable[[Target, int], float | None]:
        """How long an answer of so many tokens takes at a target, by what was seen of late; None: nobody knows."""

        def expected(target: Target, tokens: int) -> float | None:
            first, rate = self.first_token_s(target, now_ms), self.tokens_per_s(target, now_ms)
            if first is None:
                return None
            return first if rate is None else first + tokens / rate

        return expected

    def troubled(self, now_ms: int) -> Mapping[tuple[str, str], BreakerState]:
        """The state of each breaker that is not closed, by provider and model."""
        return {key: breakers.rested(self._seen[key].breaker, now_ms).state for key in self._troubled}

    # -- between instances

    def recent(self, now_ms: int) -> Sequence[tuple[str, str]]:
        """What was called within a minute, by provider and model."""
        return [key for key, seen in self._seen.items() if now_ms - seen.folded_ms < RECENT_MS]

    def has_changes(self) -> bool:
        """Whether there is something to take."""
        return bool(self._changed)

    def take_changes(self) -> Mapping[tuple[str, str], Breaker]:
        """Breakers that have opened or closed since this was last asked."""
        changed, self._changed = self._changed, {}
        return changed

    def tell(self, key: tuple[str, str], other: Breaker, now_ms: int) -> None:
        """What another instance says of the breaker of a provider's model."""
        seen = self._seen.get(key) or self._add(key)
        seen.fold(now_ms)
        self._put(key, seen, breakers.told(seen.breaker, other, now_ms))

    # -- inside

    def _fold(self, key: tuple[str, str], seen: _Seen, now_ms: int) -> None:
        before = seen.breaker
        seen.fold(now_ms)
        after, seen.breaker = seen.breaker, before
        self._change(key, seen, after)

    def _change(self, key: tuple[str, str], seen: _Seen, after: Breaker) -> None:
        """Put it, and note what others should hear of: what opened, and what closed."""
        if after.openings != seen.breaker.openings or (
            after.state is BreakerState.CLOSED and seen.breaker.state is not BreakerState.CLOSED
        ):
            self._changed[key] = after
        self._put(key, seen, after)

    def _put(self, key: tuple[str, str], seen: _Seen, after: Breaker) -> None:
        seen.breaker = after
        if after.state is BreakerState.CLOSED:
            self._troubled.discard(key)
        else:
            self._troubled.add(key)

    def _load(self, provider: str) -> _Load:
        load = self._loads.get(provider)
        if load is None:
            load = self._loads[provider] = _Load()
        return load

    def _add(self, key: tuple[str, str]) -> _Seen:
        if len(self._seen) >= MOST_TARGETS:
            self._forget()
        seen = self._seen[key] = _Seen()
        return seen

    def _forget(self) -> None:
        """An eighth of the targets: those that were heard of longest ago, and troubled ones last."""
        oldest = sorted(self._seen, key=lambda key: (key in self._troubled, self._seen[key].folded_ms))
        for key in oldest[: MOST_TARGETS // 8]:
            del self._seen[key]
            self._troubled.discard(key)
            self._changed.pop(key, None)


def _mixed(known: float | None, latest: float) -> float:
    return latest if known is None else known + _LATEST * (latest - known)
