"""`TimeLimit`: what takes too long ends with `TimeoutError`, and what others end does not."""

import asyncio

import pytest

from common.gateway.time_limit import TimeLimit


async def _silence() -> None:
    await asyncio.Event().wait()


def _cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_too_long() -> None:
    """The pending wait becomes a `TimeoutError`, and the task goes on unharmed."""
    with pytest.raises(TimeoutError), TimeLimit(0.0):
        await _silence()
    await asyncio.sleep(0)
    assert _cancelling() == 0


@pytest.mark.parametrize("seconds", [None, 60.0])
async def test_soon_enough(seconds: float | None) -> None:
    """What ends by itself ends as it would; so does what has no limit."""
    with TimeLimit(seconds) as limit:
        await asyncio.sleep(0)
    assert not limit.expired
    with pytest.raises(ZeroDivisionError), TimeLimit(seconds):
        raise ZeroDivisionError


async def test_lifted() -> None:
    """A limit that is lifted in time strikes nobody."""
    with TimeLimit(0.001) as limit:
        limit.lift()
        await asyncio.sleep(0.01)
    assert not limit.expired


async def test_lifted_too_late() -> None:
    """A limit that has expired when it is lifted ends the block at its next wait all the same."""

    async def lift(limit: TimeLimit) -> None:
        limit._expire()
        limit.lift()
        await _silence()

    with pytest.raises(TimeoutError), TimeLimit(60.0) as limit:
        await lift(limit)
    assert _cancelling() == 0


@pytest.mark.parametrize("expires", [False, True], ids=["alone", "at once"])
async def test_others_are_heard(*, expires: bool) -> None:
    """A cancellation by somebody else stays one, also where both come at once."""

    async def work() -> None:
        with TimeLimit(60.0) as limit:
            if expires:
                asyncio.get_running_loop().call_soon(limit._expire)
            await _silence()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1
