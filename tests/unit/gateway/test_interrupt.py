"""`Interruptible`: what ends a waiting call from outside, and what does not."""

import asyncio

import pytest

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.gateway.context import Gone, RequestContext
from common.gateway.interrupt import DEADLINE_MARGIN_S, Interruptible
from common.model.errors import ClientLeft, DeadlineNear


def context(*, gone: Gone | None = None, deadline_ms: int | None = None) -> RequestContext:
    """Of one request."""
    return RequestContext(TaskBackground(), gone or Gone(), deadline_ms)


async def test_leaving_ends_the_wait() -> None:
    """A client that leaves turns the pending wait into `ClientLeft`, and the task goes on unharmed."""
    gone = Gone()
    asyncio.get_running_loop().call_soon(gone.set)
    with pytest.raises(ClientLeft), Interruptible(context(gone=gone), SystemClock()):
        await asyncio.Event().wait()
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_left_before() -> None:
    """Whoever has left before the block begins is not waited for: nothing inside runs."""
    gone = Gone()
    gone.set()
    with pytest.raises(ClientLeft), Interruptible(context(gone=gone), SystemClock()):
        pytest.fail("the block ran")


async def test_leaving_after_the_block_is_nothing() -> None:
    """Once the block is left, the client's leaving cancels nobody."""
    gone = Gone()
    with Interruptible(context(gone=gone), SystemClock()):
        pass
    gone.set()
    await asyncio.sleep(0)


async def test_deadline() -> None:
    """The platform's deadline strikes before it comes, by the margin that ending in order takes."""
    clock = SystemClock()
    near_ms = clock.now_ms() + int(DEADLINE_MARGIN_S * 1000)
    with pytest.raises(DeadlineNear), Interruptible(context(deadline_ms=near_ms), clock):
        await asyncio.Event().wait()


async def test_foreign_cancellation_passes() -> None:
    """A cancellation by anybody else stays one, also when the client leaves at the same moment."""
    gone, inside = Gone(), asyncio.Event()

    async def call() -> None:
        with Interruptible(context(gone=gone), SystemClock()):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await inside.wait()
    gone.set()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_own_errors_pass() -> None:
    """What goes wrong inside is told as it is."""
    with pytest.raises(KeyError), Interruptible(context(), SystemClock()):
        raise KeyError("inside")


async def test_struck_once() -> None:
    """A way out that awaits is not struck a second time: what must be done there is done."""
    gone = Gone()
    closed = False

    async def wait() -> None:
        nonlocal closed
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
            await asyncio.sleep(0)
            closed = True

    asyncio.get_running_loop().call_soon(gone.set)
    with pytest.raises(ClientLeft), Interruptible(context(gone=gone), SystemClock()):
        await wait()
    assert closed
