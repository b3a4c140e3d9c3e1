"""Requests that are let through while the storage fails, counted for the log."""

import logging
from typing import Final

from common.ports import Clock

_EVERY_S: Final = 60.0
_log = logging.getLogger("sluice.limits")


class Lapse:
    """Tells of the first such request, and from then on at most once a minute, of how many there were."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._untold = 0
        self._told_at: float | None = None

    def note(self, failure: Exception) -> None:
        """One more was let through, for the storage said `failure`."""
        self._untold += 1
        now = self._clock.monotonic()
        if self._told_at is None or now - self._told_at >= _EVERY_S:
            _log.warning(
                "the storage fails (%s): admitted without a hold, as their plans allow: %d",
                failure,
                self._untold,
            )
            self._untold, self._told_at = 0, now
