"""`sluice jobs`: what there is to run, what a run does to the database, and when `sluice serve` runs them itself."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from common.adapters.sql.sqlite import open_sqlite
from common.adapters.sql.sqlite_rows import SqliteRows
from common.adapters.sql.usage import SqlUsageStore
from common.cli import serving
from common.cli.root import sluice
from common.cli.serving import Serving
from common.metering.standing import COMMITTED_TOTAL, IN_FLIGHT
from common.model.errors import StorageUnavailable
from common.model.ids import RequestId
from common.model.usage import UsageRecord
from common.targets.local import DATABASE
from common.targets.registry import JOBS, job_of
from tests.support.lost import TEMPLATE, lose_requests


def run(*words: str) -> Result:
    """Run `sluice jobs`."""
    return CliRunner().invoke(sluice, ["jobs", *words])


def look(data: Path, request_id: RequestId) -> tuple[UsageRecord | None, int, int]:
    """The record, and what the key's row has committed and holds."""

    async def found() -> tuple[UsageRecord | None, int, int]:
        async with open_sqlite(data / DATABASE) as database:
            (row,) = await SqliteRows(database).read([f"key:{TEMPLATE.key_id}"])
            record = await SqlUsageStore(database).find(request_id)
            return record, row.counts[COMMITTED_TOTAL], row.counts[IN_FLIGHT]

    return asyncio.run(found())


def test_list() -> None:
    """Each job, and how often it runs by itself."""
    told = json.loads(run("list", "--json").output)
    assert told == [{"name": name, "every_s": job_of(name).every.total_seconds()} for name in JOBS]
    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", *JOBS]


def test_sweep(tmp_path: Path) -> None:
    """The expired hold is spent, its record tells key and user; a second run has nothing to do."""
    expired, _ = asyncio.run(lose_requests(tmp_path))
    first = run("run", "sweep", "--data", str(tmp_path), "--json")
    assert (first.exit_code, json.loads(first.output)) == (0, {"booked as spent": 1})
    record, committed, in_flight = look(tmp_path, expired)
    assert record is not None
    assert (record.abandoned, record.key_id, record.user) == (True, TEMPLATE.key_id, TEMPLATE.user)
    assert (committed, in_flight) == (4_000_000, 1)
    again = run("run", "sweep", "--data", str(tmp_path))
    assert (again.exit_code, again.output) == (0, "There was nothing to do.\n")


def test_repair(tmp_path: Path) -> None:
    """The dead letter is settled."""
    _, letter = asyncio.run(lose_requests(tmp_path))
    assert run("run", "repair", "--data", str(tmp_path)).output == "1 settled, 0 left.\n"
    assert look(tmp_path, letter.request_id) == (letter, letter.cost_nanousd + 2_000_000, 1)


def test_no_database(tmp_path: Path) -> None:
    """A folder without a database is a mistake of whoever named it, and stays as it is."""
    result = run("run", "sweep", "--data", str(tmp_path / "none"))
    assert (result.exit_code, result.output[:28]) == (1, "Error: There is no database ")
    assert not (tmp_path / "none").exists()


def test_unknown_job() -> None:
    """An endpoint is no job."""
    assert run("run", "health").exit_code == 2


def test_a_job_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps it from its work is told, with status 1."""
    asyncio.run(lose_requests(tmp_path))

    async def fail(*_arguments: object) -> None:
        raise StorageUnavailable("The disk is full.")

    monkeypatch.setattr(SqliteRows, "expired", fail)
    result = run("run", "sweep", "--data", str(tmp_path))
    assert (result.exit_code, result.output) == (1, "Error: The disk is full.\n")


@dataclass
class Asked:
    """What was to be served."""

    serving: list[Serving] = field(default_factory=list)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Nothing is served; it is kept what would have been."""
    kept = Asked()
    monkeypatch.setattr(serving, "run", kept.serving.append)
    return kept


@pytest.mark.parametrize(
    ("options", "jobs"),
    [([], [*JOBS]), (["--function", "health"], [])],
    ids=["all functions", "one of them"],
)
def test_served(asked: Asked, tmp_path: Path, options: list[str], jobs: list[str]) -> None:
    """Jobs run beside all functions, and not in a process that serves only some."""
    words = ["serve", "--port", "0", "--data", str(tmp_path), *options]
    assert CliRunner().invoke(sluice, words).exit_code == 0
    assert [job.name for job in asked.serving[0].jobs] == jobs
