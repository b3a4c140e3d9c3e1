"""The circuit breaker of one model at one provider: a state machine, whose time comes from outside. Pure.

    closed     every request may go there. Failures and slow answers are counted, and forgotten (to 1/e in `WINDOW_S`,
               and beyond `MOST_VOLUME` calls), so at any traffic the latest calls decide. It opens where failures are
               half of all calls, or slow ones 7 of 10, with `VOLUME` sound calls added: so many make the least that
               it takes
    open       for `rest_ms`, it goes last; what is still under way from before tells nothing any more
    half-open  one probe at a time, and after the first sound one, `PROBES`. The first bad one opens it again, for twice
               as long (at most `MOST_REST_MS`); `needed` sound ones close it

A breaker that opens again within `CALM_MS` needs twice the sound probes the next time, up to `MOST_NEEDED`: at a steady
rate of errors, luck closes it some few times, and then no more. What was well for `CALM_MS` starts afresh.

Two instances that tell each other (`to_text`) keep the later state; against what it has just seen itself, none opens.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp
from typing import Final

FAILURES: Final = 0.5  # of the calls
SLOW: Final = 0.7
VOLUME: Final = 4  # so many failures in a row open it, where nothing else is known
MOST_VOLUME: Final = 50
WINDOW_S: Final = 30.0
REST_MS: Final = 5_000
MOST_REST_MS: Final = 15_000  # with three probes, back within 30 s of its recovery at one request in 3 s
PROBES: Final = 3
SILENT_MS: Final = 15_000  # a probe that was not heard of for so long keeps no other one back
NEEDED: Final = 3
MOST_NEEDED: Final = 48
CALM_MS: Final = 300_000
SKEW_MS: Final = 5_000  # between clocks of instances


class BreakerState(StrEnum):
    """Whether a candidate is trusted."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """As it was when something last happened; `rested` makes it that of now."""

    state: BreakerState = BreakerState.CLOSED
    since_ms: int = 0  # of this state; half-open: of the opening before it
    calls: float = 0.0  # decayed counts, while closed
    failures: float = 0.0
    slow: float = 0.0
    counted_ms: int = 0
    rest_ms: int = REST_MS
    needed: int = NEEDED
    passed: int = 0  # sound probes
    probes: int = 0  # under way
    probed_ms: int = 0
    openings: int = 0  # so far: results of calls that began before the latest one are stale


CLOSED: Final = Breaker()


def rested(breaker: Breaker, now_ms: int) -> Breaker:
    """An open one is half-open once its rest is over."""
    if breaker.state is not BreakerState.OPEN:
        return breaker
    if -SKEW_MS <= now_ms - breaker.since_ms < breaker.rest_ms:
        return breaker
    return replace(breaker, state=BreakerState.HALF_OPEN, passed=0, probes=0)


def admits(breaker: Breaker, now_ms: int) -> bool:
    """Whether a request may go there as to any other; else it goes last."""
    match rested(breaker, now_ms):
        case Breaker(state=BreakerState.CLOSED):
            return True
        case Breaker(state=BreakerState.OPEN):
            return False
        case waiting:
            silent = now_ms - waiting.probed_ms >= SILENT_MS
            return waiting.probes < min(PROBES, 1 + waiting.passed) or silent


def started(breaker: Breaker, now_ms: int) -> Breaker:
    """A call has begun."""
    breaker = rested(breaker, now_ms)
    if breaker.state is not BreakerState.HALF_OPEN:
        return breaker
    probes = 0 if now_ms - breaker.probed_ms >= SILENT_MS else breaker.probes
    return replace(breaker, probes=probes + 1, probed_ms=now_ms)


def answered(breaker: Breaker, now_ms: int, calls: int = 1, *, slow: int = 0) -> Breaker:
    """So many calls went well, some of them slowly."""
    breaker = rested(breaker, now_ms)
    match breaker.state:
        case BreakerState.CLOSED:
            return _counted(breaker, now_ms, calls, 0, slow)
        case BreakerState.OPEN:
            return breaker
        case BreakerState.HALF_OPEN:
            if slow:
                return _reopened(breaker, now_ms)
            passed = breaker.passed + calls
            if passed < breaker.needed:
                return replace(left(breaker), passed=passed)
            return Breaker(since_ms=now_ms, needed=breaker.needed, openings=breaker.openings)


def failed(breaker: Breaker, now_ms: int) -> Breaker:
    """A call failed, by the provider's fault."""
    breaker = rested(breaker, now_ms)
    match breaker.state:
        case BreakerState.CLOSED:
            return _counted(breaker, now_ms, 1, 1, 0)
        case BreakerState.OPEN:
            return breaker
        case BreakerState.HALF_OPEN:
            return _reopened(breaker, now_ms)


def left(breaker: Breaker) -> Breaker:
    """A call ended that tells nothing about the provider."""
    return replace(breaker, probes=breaker.probes - 1) if breaker.probes else breaker


def _counted(breaker: Breaker, now_ms: int, calls: int, failures: int, slow: int) -> Breaker:
    kept = exp(min(0, breaker.counted_ms - now_ms) / (WINDOW_S * 1000))
    if breaker.calls * kept + calls > MOST_VOLUME:
        kept = max(0.0, MOST_VOLUME - calls) / breaker.calls if breaker.calls else 0.0
    counted = replace(
        breaker,
        calls=breaker.calls * kept + calls,
        failures=breaker.failures * kept + failures,
        slow=breaker.slow * kept + slow,
        counted_ms=now_ms,
    )
    volume = counted.calls + VOLUME
    if counted.failures < FAILURES * volume and counted.slow < SLOW * volume:
        return counted
    again = breaker.openings > 0 and now_ms - breaker.since_ms < CALM_MS
    needed = min(MOST_NEEDED, breaker.needed * 2) if again else NEEDED
    return _opened(now_ms, REST_MS, needed, breaker.openings)


def _reopened(breaker: Breaker, now_ms: int) -> Breaker:
    """Its rest counts from the probe's start: one that timed out has been most of it."""
    since_ms = breaker.probed_ms if breaker.probes else now_ms
    return _opened(since_ms, min(MOST_REST_MS, breaker.rest_ms * 2), breaker.needed, breaker.openings)


def _opened(now_ms: int, rest_ms: int, needed: int, openings: int) -> Breaker:
    return Breaker(
        BreakerState.OPEN, now_ms, rest_ms=rest_ms, needed=needed, openings=openings + 1, counted_ms=now_ms
    )


# -- between instances


def to_text(breaker: Breaker) -> str:
    """What other instances need of it: some 30 characters."""
    state = BreakerState.CLOSED if breaker.state is BreakerState.CLOSED else BreakerState.OPEN
    return f"{state} {breaker.since_ms} {breaker.rest_ms} {breaker.needed}"


def from_text(text: str) -> Breaker | None:
    """What `to_text` wrote; None where it is not that."""
    try:
        state, *numbers = text.split(" ")
        since_ms, rest_ms, needed = map(int, numbers)
        breaker = Breaker(BreakerState(state), since_ms, rest_ms=rest_ms, needed=needed)
    except ValueError:
        return None
    bounded = REST_MS <= rest_ms <= MOST_REST_MS and NEEDED <= needed <= MOST_NEEDED and since_ms >= 0
    return breaker if bounded and breaker.state is not BreakerState.HALF_OPEN else None


def told(breaker: Breaker, other: Breaker, now_ms: int) -> Breaker:
    """This instance's breaker, now that it has heard of another instance's."""
    if not breaker.since_ms < other.since_ms <= now_ms + SKEW_MS:
        return breaker
    is_closed = breaker.state is BreakerState.CLOSED
    if other.state is BreakerState.CLOSED:
        closed = Breaker(since_ms=other.since_ms, needed=other.needed, openings=breaker.openings)
        return breaker if is_closed else closed
    if is_closed and _is_sound(breaker, now_ms):
        return breaker
    return replace(other, openings=breaker.openings + 1)


def _is_sound(breaker: Breaker, now_ms: int) -> bool:
    """Whether the calls of just now went well."""
    calls = breaker.calls * exp(min(0, breaker.counted_ms - now_ms) / (WINDOW_S * 1000))
    return calls >= VOLUME and breaker.failures < FAILURES / 2 * breaker.calls
