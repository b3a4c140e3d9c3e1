"""Whether memory stays flat: what Sluice has kept after many requests, and after many streams that were left."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import IO, Final

from benchmarks import client
from benchmarks.answers import EVENTS
from benchmarks.client import Connection, Kind
from benchmarks.contenders import Contender
from benchmarks.goals import GROWN
from benchmarks.process import BenchmarkError, Cores, Process, free_port, running
from benchmarks.rounds import Entrant, first_answer

REQUESTS: Final = 20_000
ABORTED: Final = 2_000
AT_ONCE: Final = 64
WARM: Final = 0.25  # of either: buffers, caches and the allocator's arenas find their size
SETTLE_S: Final = 1.0  # for what is still under way, and for the records
SLOW: Final = Kind(events=EVENTS, pause_ms=50)

Once = Callable[[Connection], Awaitable[None]]


async def measure(sluice: Contender, cores: Cores, log: IO[str]) -> dict[str, float]:
    """Megabytes grown, by metric."""
    port = free_port()
    requests, aborted = (client.request(port, sluice.key, kind) for kind in (Kind(), SLOW))

    async def whole(connection: Connection) -> None:
        await connection.send(requests)

    async def leave(connection: Connection) -> None:
        answer = connection.send(aborted)
        answer.add_done_callback(lambda done: done.exception())  # it breaks off, as it is meant to
        while not connection.first and not answer.done():  # noqa: ASYNC110 - the client counts for nothing here
            await asyncio.sleep(0.002)
        connection.abort()

    with running(sluice.command(port), core=cores.gateway, folder=sluice.folder, log=log) as process:
        await first_answer(Entrant(sluice.name, port, sluice.key, process), log)
        loads = ((whole, REQUESTS), (leave, ABORTED))
        for once, times in loads:
            await _repeat(port, once, int(times * WARM))
        grown = [await _grown_mb(process, port, once, times) for once, times in loads]
        return dict(zip(GROWN, grown, strict=True))


async def _grown_mb(process: Process, port: int, once: Once, times: int) -> float:
    before = process.rss_mb()
    await _repeat(port, once, times)
    return process.rss_mb() - before


async def _repeat(port: int, once: Once, times: int) -> None:
    """So often, `AT_ONCE` at a time; a connection that is left by the one who had it is not used again."""
    loop, turns = asyncio.get_running_loop(), count()

    async def work() -> None:
        connection: Connection | None = None
        while next(turns) < times:
            if connection is None or not connection.is_open:
                _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
            await once(connection)
            if connection.is_open and connection.status != 200:
                raise BenchmarkError(f"Sluice answered {connection.status}")
        if connection is not None:
            connection.abort()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    await asyncio.sleep(SETTLE_S)
