"""Four processes on one SQLite file, two of them killed in the middle: what anybody can see from outside holds."""

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.adapters.sql.sqlite import open_sqlite
from common.adapters.sql.sqlite_rows import SqliteRows
from common.metering.standing import Hold
from common.metering.window import REQUESTS
from common.model.limits import Limits
from tests.simulation.caller import COST, KEY_LIMITS, USER_LIMITS, caller
from tests.support.metered import World

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 2.0
KILLED_AFTER: Final = 15  # requests of their own
LIMITS: Final[dict[str, Limits]] = {"key:key_0": KEY_LIMITS, "key:key_1": KEY_LIMITS, "user:ada": USER_LIMITS}
_LOOK: Final = f"""
SELECT name, in_flight, committed_total, {" + ".join(REQUESTS)} AS requests, holds, (
    SELECT coalesce(sum(cost), 0) FROM usage
    WHERE (name = 'user:' || user OR name = 'key:' || key_id) AND holds ->> request_id IS NULL
) AS recorded
FROM meter
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One row and its records, as they were at one moment."""

    in_flight: int
    committed: int
    requests: int  # of the last minute
    holds: dict[str, int]
    recorded: int  # of requests that hold nothing


def look(path: Path) -> dict[str, Row]:
    """All rows at one moment, as another program sees them."""
    with closing(sqlite3.connect(path)) as connection:
        return {name: _row(*values) for name, *values in connection.execute(_LOOK)}


def _row(in_flight: int, committed: int, requests: int, holds: str, recorded: int) -> Row:
    held = {id_: Hold.decode(id_, text).cost_nanousd for id_, text in json.loads(holds).items()}
    return Row(in_flight, committed, requests, held, recorded)


def check(rows: dict[str, Row]) -> None:
    """What holds at every moment of a minute in which nothing costs more than it held."""
    for name, row in rows.items():
        limits = LIMITS[name]
        budget = limits.budget_total if limits.budget_month is None else limits.budget_month
        assert budget is not None
        assert row.committed <= budget, f"M2: {name} has committed {row.committed} of {budget}"
        assert row.requests <= (limits.requests_per_minute or 0), f"M1: {name} admitted {row.requests}"
        assert row.in_flight == len(row.holds) <= (limits.max_parallel or 99)
        assert row.committed == row.recorded + sum(row.holds.values()), f"M3, M4: {name}: {row}"


def start(path: Path, log: Path, seed: int) -> subprocess.Popen[str]:
    """A process that asks for all it can get."""
    command = [sys.executable, "-m", "tests.simulation.caller", str(path), str(log), str(seed), str(SECONDS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kill_at_work(process: subprocess.Popen[str]) -> None:
    """SIGKILL, when some of its requests are done and others are under way."""
    assert process.stdout
    for _ in range(KILLED_AFTER):
        process.stdout.readline()
    process.kill()


async def test_four_processes(tmp_path: Path) -> None:
    """M1 to M4: at any moment no limit is passed and the books balance; in the end, each request has one record."""
    path = tmp_path / "sluice.db"
    async with open_sqlite(path):
        pass
    logs = [tmp_path / f"served_{seed}" for seed in range(4)]
    processes = [start(path, log, seed) for seed, log in enumerate(logs)]
    for process in processes[:2]:
        kill_at_work(process)
        check(look(path))
    while any(process.poll() is None for process in processes[2:]):
        check(look(path))
        time.sleep(0.02)  # noqa: ASYNC251 - nothing else runs here
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [-9, -9, 0, 0]
    assert all(outputs[2:])
    check(look(path))
    await check_end(path, [line.split() for log in logs for line in log.read_text().splitlines()])


async def check_end(path: Path, served: list[list[str]]) -> None:
    """When all holds have expired and each key has asked once more, what was served is what is booked."""
    requests = look(path)["user:ada"].requests
    async with open_sqlite(path) as database:
        rows = SqliteRows(database)
        later = World(rows, now_ms=int(time.time() * 1000) + 600_000).instance()
        for nth in range(2):
            await later.settle(await later.admit(caller(nth)))
    end = look(path)
    assert [row.holds for row in end.values()] == [{}] * 3, "M4: an expired hold outlived an admission"
    with closing(sqlite3.connect(path)) as connection:
        records = {
            request_id: (cost, abandoned)
            for request_id, cost, abandoned in connection.execute(
                "SELECT request_id, cost, abandoned FROM usage"
            )
        }
    assert len(records) == requests + 2, "M3: one record for each admission"
    for request_id, cost in served:
        booked, abandoned = records[request_id]
        assert booked == (COST if abandoned else int(cost)), "M4: a request is booked as it was not"
    assert end["user:ada"].committed == sum(cost for cost, _ in records.values())
    assert end["user:ada"].committed == end["key:key_0"].committed + end["key:key_1"].committed
    assert end["user:ada"].committed >= sum(int(cost) for _, cost in served)
