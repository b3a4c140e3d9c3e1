"""The bound on how long bodies may take."""

import asyncio

import pytest

from common.http.patience import Patience, PatienceOfEach

BOTH = pytest.mark.parametrize("kind", [Patience, PatienceOfEach])


async def never() -> None:
    """What nobody will see the end of."""
    await asyncio.get_running_loop().create_future()


def hasty(limit_s: float, kind: type[Patience] = Patience) -> Patience:
    """One with little patience."""
    patience = kind()
    patience.limit_s = limit_s
    return patience


@BOTH
async def test_in_time(kind: type[Patience]) -> None:
    """What comes in time is handed on, an error too."""

    async def fail() -> None:
        raise KeyError("x")

    patience = hasty(60, kind)
    assert await patience.wait(asyncio.sleep(0, "body")) == "body"
    with pytest.raises(KeyError):
        await patience.wait(fail())


@BOTH
async def test_too_late(kind: type[Patience]) -> None:
    """What does not is cancelled, and `TimeoutError` says so; the task that waited goes on."""
    ended = False

    async def long() -> None:
        nonlocal ended
        try:
            await never()
        finally:
            ended = True

    with pytest.raises(TimeoutError):
        await hasty(0.01, kind).wait(long())
    assert ended
    await asyncio.sleep(0)


@BOTH
async def test_many(kind: type[Patience]) -> None:
    """Many that wait are each ended, by one timer or by their own, and so are those that come afterwards."""
    patience = hasty(0.01, kind)
    for _ in range(2):
        outcomes = await asyncio.gather(*(patience.wait(never()) for _ in range(50)), return_exceptions=True)
        assert [type(each) for each in outcomes] == [TimeoutError] * 50


@BOTH
async def test_who_is_in_time_is_left_alone(kind: type[Patience]) -> None:
    """One that began later is not ended with one that began earlier."""
    patience = hasty(0.05, kind)
    late = asyncio.ensure_future(patience.wait(never()))
    await asyncio.sleep(0.03)
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    later = asyncio.ensure_future(patience.wait(gate))
    with pytest.raises(TimeoutError):
        await late
    assert not later.done()
    gate.set_result("body")
    assert await later == "body"


@BOTH
async def test_cancelled_by_somebody_else(kind: type[Patience]) -> None:
    """A cancellation from outside stays one."""
    patience = hasty(60, kind)
    waiting = asyncio.ensure_future(patience.wait(never()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
