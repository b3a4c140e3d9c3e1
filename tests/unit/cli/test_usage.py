"""`sluice usage`, `usage show` and `usage verify`: what was used, for the owner of the budget."""

import asyncio
import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from common.adapters.clock import SystemClock
from common.adapters.sql.sqlite import open_sqlite
from common.adapters.sql.sqlite_rows import SqliteRows
from common.cli.root import sluice
from common.metering.meter import LimitMeter
from common.metering.plan import Plan
from common.metering.rows import Change, Records
from common.model.admission import Ask
from common.model.ids import KeyId, RequestId, UserId, first_id
from common.model.limits import Limits
from common.model.principal import Principal
from common.model.usage import Outcome, UsageRecord
from common.targets.local import DATABASE
from tests.support.metered import record as settled
from tests.support.records import as_of_old, usage_record
from tests.unit.cli.commands import Commands

DAY_MS: Final = 86_400_000


def used(number: int, ago_ms: int = 0, **what: Any) -> UsageRecord:
    """A request that started so long ago."""
    now_ms = SystemClock().now_ms()
    started_ms = now_ms - ago_ms
    request_id = RequestId(f"{first_id(started_ms // 1000 + 3_600)}{number:010}")
    record = replace(usage_record(number), request_id=request_id, started_ms=started_ms)
    return replace(record, **what)


def keep(data: Path, *records: UsageRecord) -> None:
    """As the meter leaves them."""

    async def write() -> None:
        async with open_sqlite(data / DATABASE) as database:
            for record in records:
                await SqliteRows(database).apply([], Records(settled=record))

    asyncio.run(write())


@pytest.fixture
def usage(tmp_path: Path) -> Commands:
    """The commands, on a database with a few requests."""
    keep(
        tmp_path,
        used(1),
        used(2, 1_000, model="smart", user=UserId("bob"), key_id=KeyId("key_b"), outcome=Outcome.UPSTREAM),
        used(3, 2_000, estimated=True),
        used(4, 3 * DAY_MS, model="smart"),
        used(5, 30 * DAY_MS, cost_nanousd=10**12),
    )
    return Commands(tmp_path, "usage")


def test_table(usage: Commands) -> None:
    """A line for each model, with what it used in the last week, aligned; the last one adds up."""
    result = usage.run()
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        "MODEL  REQUESTS  INPUT  CACHED  OUTPUT          USD  ERRORS  ESTIMATED",
        "fast          2     58       6      90  0.002469138       0          1",
        "smart         2     58       6      90   0.00246914       1          0",
        "total         4    116      12     180  0.004938278       1          1",
    ]


def test_since(usage: Commands) -> None:
    """The time that is looked at can be named; a time in days begins with the day."""
    assert sum(each["requests"] for each in usage.json("--since", "1h")) == 3
    assert sum(each["requests"] for each in usage.json("--since", "3d")) == 4
    assert sum(each["requests"] for each in usage.json("--since", "60d")) == 5
    assert usage.run("--since", "long").exit_code == 2


def test_groups(usage: Commands) -> None:
    """By key, user and day, the same requests are told apart otherwise."""
    by_key = [(each["key"], each["requests"]) for each in usage.json("--by", "key")]
    assert by_key == [("key_000000000001", 3), ("key_b", 1)]
    assert [(each["user"], each["requests"]) for each in usage.json("--by", "user")] == [
        ("ada", 3),
        ("bob", 1),
    ]
    days = usage.json("--by", "day", "--since", "60d")
    assert [each["day"] for each in days] == sorted(each["day"] for each in days)
    assert days[0]["cost_usd"] == "1000.00"
    assert usage.run("--by", "colour").exit_code == 2


def test_csv(usage: Commands) -> None:
    """CSV has the same figures as JSON, one line for each, and no totals."""
    result = usage.run("--csv")
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert rows == [{name: str(value) for name, value in each.items()} for each in usage.json()]


def test_csv_has_no_formulas(tmp_path: Path) -> None:
    """A name that a spreadsheet would run is text."""
    keep(tmp_path, used(1, user=UserId('=HYPERLINK("https://evil.example")')), used(2, user=UserId("-1, x")))
    rows = list(csv.reader(Commands(tmp_path, "usage").run("--by", "user", "--csv").stdout.splitlines()))
    assert [row[0] for row in rows] == ["user", "'-1, x", '\'=HYPERLINK("https://evil.example")']


def test_nothing(tmp_path: Path) -> None:
    """Without usage that is said, and an empty list for scripts; without a database, what to do."""
    missing = Commands(tmp_path / "none", "usage").run()
    assert (missing.exit_code, "There is no database" in missing.stderr) == (1, True)
    keep(tmp_path)
    empty = Commands(tmp_path, "usage")
    assert empty.run().stdout.startswith("Nothing was used since 20")
    assert empty.json() == []
    assert empty.run("--csv", "--json").exit_code == 2


# -- receipts ----------------------------------------------------------------------------------------------------------


def test_show(tmp_path: Path) -> None:
    """A receipt is readable, and has each attempt with its prices."""
    record = used(1)
    keep(tmp_path, record)
    result = Commands(tmp_path, "usage").run("show", record.request_id)
    assert result.exit_code == 0
    lines = {line.rstrip() for line in result.stdout.splitlines()}
    assert {
        f"Request        {record.request_id}",
        "Cost           $0.001234568",
        "Provider says  $0.0012",
        "Held           $0.002, 500 tokens",
        "Time           2,400 ms (first byte 180, providers 2,380, storage 7.125, gateway 11.125)",
        "Attempt 1  backup/some/mini; 'quoted'",
        "Ended      provider_error, after 1,900 ms",
        "Prices     per million tokens: input $0.2, cache_read $0.2, output $0.8; per request $0.000000005",
        "Booked     $0.000000405, by usage",
    } <= lines


def test_show_json(tmp_path: Path) -> None:
    """For scripts it is what the API answers."""
    record = used(1)
    keep(tmp_path, record)
    told = Commands(tmp_path, "usage").json("show", record.request_id)
    assert (told["id"], told["cost"], len(told["attempts"])) == (record.request_id, "0.001234568", 2)


def test_show_what_is_less_known(tmp_path: Path) -> None:
    """Of an abandoned request it is said why its cost is only a bound."""
    record = replace(as_of_old(used(1)), abandoned=True, provider_cost_nanousd=None)
    keep(tmp_path, record)
    told = Commands(tmp_path, "usage").run("show", record.request_id).stdout
    assert "nobody settled it before its hold expired" in told
    assert "Attempt" not in told
    assert "Provider says" not in told


def test_show_nothing(tmp_path: Path) -> None:
    """A request that there is not is said to be none."""
    keep(tmp_path)
    result = Commands(tmp_path, "usage").run("show", "req_none")
    assert (result.exit_code, "There is no usage of a request 'req_none'" in result.stderr) == (1, True)


# -- verify ------------------------------------------------------------------------------------------------------------

BOUND: Final = Limits(budget_total=10**12)


async def _requests(data: Path, principals: Sequence[Principal], costs: Sequence[int]) -> None:
    clock = SystemClock()
    async with open_sqlite(data / DATABASE) as database:
        meter = LimitMeter(SqliteRows(database), clock)
        for number, (who, cost) in enumerate(zip(principals, costs, strict=True)):
            # ids in their order
            request_id = RequestId(first_id(clock.now_ms() // 1000 + 600 + number) + "0" * 10)
            admission = await meter.admit(Ask(request_id, who, clock.now_ms(), tokens=1, cost_nanousd=100))
            await meter.settle(admission, settled(admission, cost))


def principal(limits: Limits = BOUND) -> Principal:
    """Ada's key."""
    return Principal(KeyId("key_1"), UserId("ada"), frozenset(), limits)


async def _tamper(data: Path) -> None:
    async with open_sqlite(data / DATABASE) as database:
        await SqliteRows(database).apply([Change("key:key_1", Plan(add={"committed_total": -5}))], Records())


def verify(data: Path, *words: str) -> Result:
    """Run it."""
    return CliRunner().invoke(sluice, ["usage", "verify", "--data", str(data), *words])


def test_verify(tmp_path: Path) -> None:
    """Rows that agree are said to; one that does not is shown with both amounts, and is status 1."""
    asyncio.run(_requests(tmp_path, [principal(), principal()], [30, 20]))
    right = verify(tmp_path)
    assert (right.exit_code, right.output) == (0, "1 keys and users with limits: 1 right.\n")
    asyncio.run(_tamper(tmp_path))
    wrong = verify(tmp_path)
    assert wrong.exit_code == 1
    assert "key:key_1  total   0.000000045  0.00000005" in wrong.stdout
    assert "1 of 1 keys and users with limits differ" in wrong.stderr
    told = json.loads(verify(tmp_path, "--json").stdout)
    assert told[0]["verdict"] == "differs"
    assert (told[0]["counted_usd"]["total"], told[0]["recorded_usd"]["total"]) == (
        "0.000000045",
        "0.00000005",
    )


def test_verify_limits_that_came_later(tmp_path: Path) -> None:
    """What was used before there were limits is said to be in no count, and is no failure."""
    asyncio.run(_requests(tmp_path, [principal(Limits()), principal()], [30, 20]))
    result = verify(tmp_path)
    assert result.exit_code == 0
    assert "key:key_1: right since 20" in result.stdout


def test_verify_nothing(tmp_path: Path) -> None:
    """Where nobody has limits, there is nothing to verify."""
    keep(tmp_path, used(1))
    result = verify(tmp_path)
    assert (result.exit_code, "nothing to verify" in result.stdout) == (0, True)
