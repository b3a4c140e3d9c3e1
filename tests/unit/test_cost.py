"""The page on costs is computed from its own prices and quantities, and those are the code's."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from common.access.authenticate import CACHE_S
from common.adapters.cloudflare.kv import KEY_S
from common.routing.sharing import READ_MS
from common.targets.registry import JOBS, job_of

REPOSITORY: Final = Path(__file__).parents[2]
PAGE: Final = (REPOSITORY / "docs/cost.md").read_text()
HOURS: Final = 730  # of a month
SECONDS: Final = HOURS * 3600


def rows(heading: str) -> dict[str, list[str]]:
    """The table that begins so: its other cells, by the first."""
    _, _, table = PAGE.partition(f"\n| {heading} |")
    lines = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()[2:]]
    return {first: rest for first, *rest in lines}


def usd(text: str) -> float:
    """What a cell says."""
    return float(text.replace("$", "").replace(",", ""))


PRICES: Final = {what: usd(price) for what, (price, _) in rows("what | price").items()}
QUANTITIES: Final = {what: cells[0] for what, cells in rows("what | quantity").items()}


def parts(answer_s: float) -> dict[str, float]:
    """USD for a million completions that take so long."""
    memory_gb = usd(QUANTITIES["memory"].removesuffix(" MB")) / 1024
    writes = usd(QUANTITIES["writes of a request under a key's and a user's limits"])
    seconds = answer_s + usd(QUANTITIES["seconds beside the answer"])
    return {
        "Lambda": PRICES["Lambda, a million requests"]
        + memory_gb * seconds * PRICES["Lambda on arm64, a GB-second"] * 1e6,
        "DynamoDB": writes * PRICES["DynamoDB on demand, a million writes"],
        "CloudFront": PRICES["CloudFront, a million requests"],
        "logs": usd(QUANTITIES["bytes of log"]) / 1e9 * 1e6 * PRICES["CloudWatch Logs, a GB"],
    }


def containers(per_s: float) -> float:
    """USD a month."""
    capacity_units = per_s * 100_000 * 3600 / 1e9
    hourly = (
        2 * (PRICES["Fargate on arm64, a vCPU-hour"] + 2 * PRICES["Fargate on arm64, a GB-hour"])
        + PRICES["load balancer, an hour"]
        + capacity_units * PRICES["load balancer, a capacity unit and hour"]
        + PRICES["RDS for PostgreSQL, db.t4g.small in two zones, an hour"]
        + 2 * PRICES["ElastiCache, cache.t4g.micro, an hour"]
    )
    logs = per_s * SECONDS * 1_000 / 1e9 * PRICES["CloudWatch Logs, a GB"]
    return hourly * HOURS + 20 * PRICES["RDS storage in two zones, a GB and month"] + logs


def workers(per_s: float) -> float:
    """USD a month."""
    millions = per_s * SECONDS / 1e6
    used = {"requests": 1, "milliseconds of CPU": 20, "rows written in D1": 4}
    total = 5.0
    for what, each in used.items():
        included, price = rows("what | included")[what]
        total += max(0.0, millions * each - usd(included.removesuffix(" million"))) * usd(price)
    return total


def test_kv_is_counted_by_the_code() -> None:
    """How often KV is asked, and jobs run, follows from their intervals; so does what keys' copies cost."""
    told = rows("what | how often")
    per_minute = {
        "reads of breakers": 60_000 / READ_MS,
        "reads of keys' copies": 60 / CACHE_S,
        "writes of keys' copies": 60 / CACHE_S,
    }
    for what, times in per_minute.items():
        assert re.search(rf"\b{times:.0f} a minute", told[what][0])
    assert f"older than {KEY_S:.0f} s" in told["writes of keys' copies"][0]
    assert f"{timedelta(days=1) / job_of('repair').every:.0f} a day" in told["lists of dead letters"][0]
    intervals = {job_of(name).every for name in JOBS}  # jobs that come equally often share a trigger
    assert f"Cron triggers are {sum(timedelta(days=1) / every for every in intervals):.0f} requests" in PAGE
    writes = SECONDS / CACHE_S  # a month, for a key in one isolate
    _, included, price = told["writes of keys' copies"]
    free = usd(included.removesuffix(" million")) * 1e6
    assert f"with one isolate, {free // writes:.0f} keys in use" in PAGE
    assert f"a hundred cost up to ${(100 * writes - free) / 1e6 * usd(price):.0f} a month" in PAGE


def test_cpu_is_that_of_the_figures() -> None:
    """What a completion and an event take is what the page on Workers says."""
    figures = (REPOSITORY / "docs/cloudflare-worker.md").read_text()
    (completion,) = re.findall(r"^\| CPU of a completion .* ([\d.]+) ms \|$", figures, re.MULTILINE)
    (event,) = re.findall(r"^\| CPU of a streamed event.* ([\d.]+) ms \|$", figures, re.MULTILINE)
    assert f"a completion takes [{completion} ms]" in PAGE
    assert f"up to {event} ms more for each event" in PAGE
    stream_ms = 500 * float(event)
    cost = stream_ms * usd(rows("what | included")["milliseconds of CPU"][1])
    assert re.search(rf"up to\s+{stream_ms:.0f} ms, which is \${cost:.2f} a million", PAGE)


@pytest.mark.parametrize("answer", ["1 s", "3 s", "10 s"])
def test_million_completions(answer: str) -> None:
    """Each part is what the prices make of the quantities, and so is their sum."""
    found = parts(float(answer.removesuffix(" s")))
    cells = [f"${each:.2f}" for each in (*found.values(), sum(found.values()))]
    assert rows("an answer takes")[answer] == cells


@pytest.mark.parametrize(
    ("row", "per_s"), [("idle", 0), ("1 request/s, day and night", 1), ("100 requests/s", 100)]
)
def test_month(row: str, per_s: float) -> None:
    """So many a second, all month, beside containers and Workers."""
    millions = per_s * SECONDS / 1e6
    on_aws = [millions * sum(parts(answer_s).values()) for answer_s in (3, 10)]
    assert rows("load | answers of 3 s on AWS")[row] == [
        f"${each:,.0f}" for each in (*on_aws, containers(per_s))
    ]
    assert rows("load on Workers")[row] == [f"${workers(per_s):,.0f}"]


def test_where_containers_become_cheaper() -> None:
    """The rates that are told."""
    told = re.search(
        r"above ([\d.]+) requests/s on average.*?above ([\d.]+): some ([\d.]+) and some ([\d.]+)",
        PAGE,
        re.DOTALL,
    )
    assert told
    for answer_s, per_s, millions in ((3, told[1], told[3]), (10, told[2], told[4])):
        rate = containers(0) / (sum(parts(answer_s).values()) * SECONDS / 1e6)
        assert f"{rate:.1f}" == per_s
        assert f"{rate * SECONDS / 1e6:.1f}".removesuffix(".0") == millions


def test_quantities_are_the_codes() -> None:
    """Memory is what is deployed, and writes are what the page on DynamoDB says."""
    deployed = (REPOSITORY / "serverless.yml").read_text()
    assert [f"{each} MB" for each in re.findall(r"memorySize: (\d+)", deployed)] == [QUANTITIES["memory"]]
    writes = QUANTITIES["writes of a request under a key's and a user's limits"]
    assert (
        f"| a request where key and user have limits | {writes} |"
        in (REPOSITORY / "docs/dynamodb.md").read_text()
    )
