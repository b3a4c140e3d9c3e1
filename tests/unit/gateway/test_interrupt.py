"""`Interruptible`: what ends a waiting call from outside, and what does not."""

import asyncio
import gc
import weakref

import pytest

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.gateway.context import Gone, RequestContext
from common.gateway.interrupt import DEADLINE_MARGIN_S, Interruptible
from common.model.errors import ClientLeft, DeadlineExceeded, DeadlineNear


def interruptible(
    *, gone: Gone | None = None, deadline_ms: int | None = None, within_s: float = 60
) -> Interruptible:
    """Around one request, which has so long."""
    clock = SystemClock()
    context = RequestContext(TaskBackground(), gone or Gone(), deadline_ms)
    return Interruptible(context, clock, clock.monotonic() + within_s)


async def test_leaving_ends_the_wait() -> None:
    """A client that leaves turns the pending wait into `ClientLeft`, and the task goes on unharmed."""
    gone = Gone()
    asyncio.get_running_loop().call_soon(gone.set)
    with pytest.raises(ClientLeft), interruptible(gone=gone):
        await asyncio.Event().wait()
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_left_before() -> None:
    """Whoever has left before the block begins is not waited for: nothing inside runs."""
    gone = Gone()
    gone.set()
    with pytest.raises(ClientLeft), interruptible(gone=gone):
        pytest.fail("the block ran")


async def test_leaving_after_the_block_is_nothing() -> None:
    """Once the block is left, the client's leaving cancels nobody."""
    gone = Gone()
    with interruptible(gone=gone):
        pass
    gone.set()
    await asyncio.sleep(0)


async def test_deadline() -> None:
    """The platform's deadline strikes before it comes, by the margin that ending in order takes."""
    clock = SystemClock()
    near_ms = clock.now_ms() + int(DEADLINE_MARGIN_S * 1000)
    with pytest.raises(DeadlineNear), interruptible(deadline_ms=near_ms):
        await asyncio.Event().wait()


@pytest.mark.parametrize("platforms_s", [None, 3_600], ids=["alone", "before the platform's"])
async def test_deadline_of_the_request(platforms_s: int | None) -> None:
    """Its own deadline strikes when it comes."""
    deadline_ms = None if platforms_s is None else SystemClock().now_ms() + platforms_s * 1000
    with pytest.raises(DeadlineExceeded), interruptible(deadline_ms=deadline_ms, within_s=0.01):
        await asyncio.Event().wait()


async def test_foreign_cancellation_passes() -> None:
    """A cancellation by anybody else stays one, also when the client leaves at the same moment."""
    gone, inside = Gone(), asyncio.Event()

    async def call() -> None:
        with interruptible(gone=gone):
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
    with pytest.raises(KeyError), interruptible():
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
    with pytest.raises(ClientLeft), interruptible(gone=gone):
        await wait()
    assert closed


async def test_leaves_no_cycle() -> None:
    """What a client's leaving raises is freed at once: it holds the whole request, and collections are rare."""
    gone = Gone()

    async def left() -> weakref.ref[ClientLeft]:
        try:
            with interruptible(gone=gone):
                await asyncio.Event().wait()
        except ClientLeft as error:
            return weakref.ref(error)
        raise AssertionError("nobody has left")

    asyncio.get_running_loop().call_soon(gone.set)
    gc.disable()
    try:
        assert (await left())() is None
    finally:
        gc.enable()
