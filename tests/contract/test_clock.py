"""The contract of `Clock`."""

from datetime import UTC, datetime

from common.ports import Clock


def test_wall_time(clock: Clock) -> None:
    """`now_ms` counts whole UTC milliseconds since 1970."""
    before = datetime.now(UTC).timestamp() * 1000
    now_ms = clock.now_ms()
    after = datetime.now(UTC).timestamp() * 1000
    assert isinstance(now_ms, int)
    assert int(before) <= now_ms <= after


def test_monotonic_time(clock: Clock) -> None:
    """`monotonic` never goes back."""
    readings = [clock.monotonic() for _ in range(1000)]
    assert readings == sorted(readings)


def test_monotonic_time_counts_seconds(clock: Clock) -> None:
    """A second of `monotonic` is a second of the wall, as far as a short while shows."""
    wall_ms, start = clock.now_ms(), clock.monotonic()
    while clock.now_ms() < wall_ms + 20:
        pass
    assert clock.monotonic() - start > 0.015
