"""The real clock."""

import time


class SystemClock:
    """Reads the machine's clocks."""

    monotonic = staticmethod(time.monotonic)  # as it is: a request asks often

    def now_ms(self) -> int:
        """See `Clock.now_ms`."""
        return time.time_ns() // 1_000_000
