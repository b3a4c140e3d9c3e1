"""The contract of `Background`."""

import asyncio
import logging

from common.adapters.background import TaskBackground
from common.ports import Background


class Work:
    """A piece of work that a test can watch and release."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.done = asyncio.Event()

    async def run(self) -> None:
        """Wait to be released."""
        self.started.set()
        await self.release.wait()
        self.done.set()


async def test_it_runs_by_itself(background: Background) -> None:
    """Work begins and ends although nobody awaits it."""
    work = Work()
    background.run(work.run())
    await work.started.wait()
    work.release.set()
    await work.done.wait()


async def test_it_outlives_the_request(background: Background) -> None:
    """Cancelling the request that handed it in does not touch the work."""
    work = Work()

    async def request() -> None:
        background.run(work.run())
        await asyncio.Event().wait()

    task = asyncio.create_task(request())
    await work.started.wait()
    task.cancel()
    await asyncio.wait([task])
    work.release.set()
    await work.done.wait()


async def test_pieces_run_side_by_side(background: Background) -> None:
    """Work that waits holds up no other."""
    slow, quick = Work(), Work()
    background.run(slow.run())
    background.run(quick.run())
    quick.release.set()
    await quick.done.wait()
    assert not slow.done.is_set()
    slow.release.set()
    await slow.done.wait()


class Listener(logging.Handler):
    """Hears what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: asyncio.Queue[logging.LogRecord] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self.heard.put_nowait(record)


async def test_a_failure_is_logged(background: Background) -> None:
    """A failure is told to the log, with its cause, and to nobody else."""
    listener = Listener()

    async def fail() -> None:
        raise LookupError("lost")

    logging.getLogger("sluice").addHandler(listener)
    try:
        background.run(fail())
        record = await listener.heard.get()
    finally:
        logging.getLogger("sluice").removeHandler(listener)
    assert record.exc_info
    assert isinstance(record.exc_info[1], LookupError)
    assert listener.heard.empty()


async def test_hurry() -> None:
    """Who drains hurries what can be, while there is time for it to end; the rest is waited for until the last."""
    background, patient, hurried = TaskBackground(), Work(), Work()
    background.run(patient.run())
    background.run(hurried.run(), hurry=hurried.release.set)
    assert await background.drain(0.01) == 1
    assert hurried.done.is_set()
    patient.release.set()
    assert await background.drain(5) == 0
