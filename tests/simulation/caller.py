"""One process that asks a meter for as much as it gives: `python -m tests.simulation.caller FILE LOG SEED SECONDS`.

Before a request is "sent upstream", its id and what it will cost are in LOG, which survives whatever happens to the
process: it is what the upstream would put on its invoice. `served` is printed now and then, so that others know that
work is under way.
"""

import asyncio
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from common.adapters.clock import SystemClock
from common.adapters.sql.sqlite import open_sqlite
from common.adapters.sql.sqlite_rows import SqliteRows
from common.metering.meter import LimitMeter
from common.model.admission import Ask
from common.model.errors import LimitError
from common.model.ids import new_request_id
from common.model.limits import Limits
from common.model.principal import Principal
from tests.support.metered import principal, record

KEY_LIMITS: Final = Limits(requests_per_minute=400, max_parallel=8, budget_total=30_000)
USER_LIMITS: Final = Limits(requests_per_minute=700, tokens_per_minute=6_000, budget_month=32_000)
COST: Final = 100  # at most, of one request
TOKENS: Final = 10
LIFETIME_S: Final = 2  # of a hold
AT_ONCE: Final = 6


def caller(nth: int) -> Principal:
    """One of two keys of one user."""
    return principal(KEY_LIMITS, USER_LIMITS, key_id=f"key_{nth % 2}")


async def main(path: Path, log: int, seed: int, seconds: float) -> None:
    """Ask until the time is over."""
    clock, rng = SystemClock(), random.Random(seed)
    end, who = time.monotonic() + seconds, caller(seed)
    async with open_sqlite(path) as database:
        meter = LimitMeter(SqliteRows(database), clock)

        async def ask() -> None:
            now = clock.now_ms()
            request_id = new_request_id(now // 1000 + LIFETIME_S, rng)
            admission = await meter.admit(Ask(request_id, who, now, TOKENS, COST))
            cost = rng.randint(1, COST)
            os.write(log, f"{request_id} {cost}\n".encode())
            print("served", flush=True)
            await asyncio.sleep(rng.choice([0, 0, 0.002]))
            if rng.random() < 0.02:
                return  # nobody settles it
            await meter.settle(admission, record(admission, cost, rng.randint(1, TOKENS)))

        async def keep_asking() -> None:
            while time.monotonic() < end:
                with suppress(LimitError):
                    await ask()
                    continue
                await asyncio.sleep(0.02)

        await asyncio.gather(*(keep_asking() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    file, log_file, number, duration = sys.argv[1:]
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    asyncio.run(main(Path(file), descriptor, int(number), float(duration)))
