"""The keys of one provider, used in turn; one that was refused is left at rest for a while. Pure.

Each process knows of its own refusals alone: another one learns of a key's limit by running into it, once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from common.model.errors import SluiceError, UpstreamRateLimited, UpstreamRefused

Headers = tuple[tuple[str, str], ...]

LIMITED_REST_S: Final = 10.0  # where the provider does not say for how long
REFUSED_REST_S: Final = 300.0  # a key that is not accepted, or has no money, is mended by hand


@dataclass(frozen=True, slots=True)
class Credential:
    """One way to be known to the provider."""

    headers: Headers  # all those of a request, the key's among them
    secret: str  # "" where there is none

    def __repr__(self) -> str:
        """Without what it holds."""
        return "Credential()"


class Credentials:
    """At least one. Times are seconds by a monotonic clock."""

    __slots__ = ("_next", "_rested_until", "all")

    def __init__(self, each: Sequence[Credential]) -> None:
        self.all = tuple(each)
        self._rested_until = [0.0] * len(self.all)
        self._next = 0

    def take(self, now: float) -> Credential:
        """The next in turn that is not at rest; where all are, the one whose rest ends first."""
        if len(self.all) == 1:
            return self.all[0]
        count = len(self.all)
        places = [(self._next + step) % count for step in range(count)]
        place = next((each for each in places if self._rested_until[each] <= now), None)
        if place is None:
            place = min(places, key=self._rested_until.__getitem__)
        self._next = (place + 1) % count
        return self.all[place]

    def failed(self, credential: Credential, error: SluiceError, now: float) -> None:
        """A request with it ended so: it is left at rest where that is about the key."""
        rest_s = _rest_s(error)
        if rest_s is not None:
            place = self.all.index(credential)
            self._rested_until[place] = max(self._rested_until[place], now + rest_s)

    def ready(self, now: float) -> bool:
        """Whether one is not at rest: another try may do better than the last."""
        return any(until <= now for until in self._rested_until)


def _rest_s(error: SluiceError) -> float | None:
    """For how long; None where it is not about the key."""
    if isinstance(error, UpstreamRateLimited):
        return LIMITED_REST_S if error.retry_after_s is None else error.retry_after_s
    return REFUSED_REST_S if isinstance(error, UpstreamRefused) else None
