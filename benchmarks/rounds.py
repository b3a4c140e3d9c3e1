"""The rounds: in each, both gateways start afresh, and every scenario runs on one directly after the other.

A machine that slows down for a while so slows both, and the order turns with each round. CPU is read after a
pause: what a gateway does once its answer is out (its usage record) counts.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO, Final

from benchmarks import client
from benchmarks.answers import EVENTS
from benchmarks.client import Kind
from benchmarks.contenders import UPSTREAM, Contender
from benchmarks.ledger import Ledger
from benchmarks.process import BenchmarkError, Cores, Process, free_port, running, tail

START_S: Final = 30.0
POLL_S: Final = 0.005
PAUSE_S: Final = 0.2
WARM_S: Final = 0.5
P50: Final = "p50, ms"
P99_LATE: Final = "p99 from upstream to client, ms"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load."""

    name: str
    concurrency: int
    kind: Kind
    metered: bool = False  # with a key that has limits, as has its user

    @property
    def cpu_metric(self) -> str:
        """The name of its cost."""
        return "CPU µs per stream" if self.kind.events else "CPU µs per request"

    @property
    def rate_metric(self) -> str:
        """The name of its throughput."""
        return "streams per second" if self.kind.events else "requests per second"

    @property
    def beside_upstream(self) -> bool:
        """Whether the upstream is asked, too, without anything between: where it is not the load that takes time."""
        return self.concurrency == 1 or self.kind.pause_ms > 0


WHOLE: Final = Kind()
STREAM: Final = Kind(events=EVENTS)
SCENARIOS: Final = (
    Scenario("requests-1", 1, WHOLE),
    Scenario("requests-64", 64, WHOLE),
    Scenario("metered-64", 64, WHOLE, metered=True),
    Scenario("requests-100kb", 16, Kind(body_bytes=100_000)),
    Scenario("requests-5mb", 4, Kind(body_bytes=5_000_000)),
    Scenario("streams-1", 1, STREAM),
    Scenario("streams-32", 32, STREAM),
    Scenario("metered-streams-32", 32, STREAM, metered=True),
    Scenario("long-streams-8", 8, Kind(events=2_000)),
    Scenario("slow-streams-200", 200, Kind(events=EVENTS, pause_ms=50), metered=True),
)


@dataclass(slots=True)
class Entrant:
    """A contender in one round, started; the upstream itself has no process that is weighed."""

    name: str
    port: int
    key: str | None = None
    process: Process | None = None
    metered_key: str | None = None
    answered: int = 0
    failed: int = 0

    async def load(self, scenario: Scenario, seconds: float) -> client.Load:
        """Put it under load and count the answers."""
        key = self.metered_key if scenario.metered else self.key
        result = await client.load(
            self.port, key, scenario.kind, concurrency=scenario.concurrency, seconds=seconds
        )
        self.answered += result.answered
        self.failed += result.failed
        return result


@dataclass(frozen=True, slots=True)
class Setup:
    """What all rounds share."""

    contenders: tuple[Contender, ...]
    upstream_port: int
    cores: Cores
    scenarios: tuple[Scenario, ...]
    seconds: float
    log: IO[str]


@dataclass(slots=True)
class Tally:
    """Answers of one contender over all rounds, warm-up included."""

    answered: int = 0
    failed: int = 0


async def run_round(setup: Setup, ledger: Ledger, tallies: dict[str, Tally], *, swap: bool) -> None:
    """One round; `swap` turns the order of the contenders."""
    async with AsyncExitStack() as stack:
        order = setup.contenders[::-1] if swap else setup.contenders
        entrants = [await stack.enter_async_context(_started(setup, ledger, each)) for each in order]
        await _warm(entrants)
        for scenario in setup.scenarios:
            for entrant in entrants:
                await _measure(entrant, scenario, setup.seconds, ledger)
            if scenario.beside_upstream:
                await _measure(Entrant(UPSTREAM, setup.upstream_port), scenario, setup.seconds, ledger)
        for entrant in entrants:
            _weigh(entrant, "RSS after, MB", ledger)
            tally = tallies.setdefault(entrant.name, Tally())
            tally.answered += entrant.answered
            tally.failed += entrant.failed


@asynccontextmanager
async def _started(setup: Setup, ledger: Ledger, contender: Contender) -> AsyncIterator[Entrant]:
    port, began = free_port(), time.perf_counter()
    with running(
        contender.command(port), core=setup.cores.gateway, folder=contender.folder, log=setup.log
    ) as started:
        entrant = Entrant(contender.name, port, contender.key, started, contender.metered_key)
        await first_answer(entrant, setup.log)
        ledger.add("process", "cold start, s", contender.name, time.perf_counter() - began)
        await _refuses_strangers(entrant)
        await asyncio.sleep(PAUSE_S)
        _weigh(entrant, "RSS idle, MB", ledger)
        yield entrant


async def first_answer(entrant: Entrant, log: IO[str]) -> None:
    """Wait until it answers; `BenchmarkError` where it does not, or not as it should."""
    deadline, code = time.perf_counter() + START_S, 0
    while not code and time.perf_counter() < deadline and entrant.process and not entrant.process.ended:
        await asyncio.sleep(POLL_S)
        code = await client.status(entrant.port, entrant.key)
    if code != 200:
        problem = f"{entrant.name} answered {code or 'nothing'}; the log's end:\n{tail(log)}"
        raise BenchmarkError(problem)
    entrant.answered += 1


async def _refuses_strangers(entrant: Entrant) -> None:
    if entrant.key and await client.status(entrant.port, None) != 401:
        problem = f"{entrant.name} answers without a key: nothing to compare"
        raise BenchmarkError(problem)


async def _warm(entrants: Iterable[Entrant]) -> None:
    for entrant in entrants:
        for kind in (WHOLE, STREAM):
            await entrant.load(Scenario("warm-up", 8, kind), WARM_S)


async def _measure(entrant: Entrant, scenario: Scenario, seconds: float, ledger: Ledger) -> None:
    before = entrant.process.cpu_s() if entrant.process else 0.0
    result = await entrant.load(scenario, seconds)
    await asyncio.sleep(PAUSE_S)
    if not result.answered:
        problem = f"{entrant.name} answered nothing in {scenario.name}"
        raise BenchmarkError(problem)
    cpu_s = entrant.process.cpu_s() - before if entrant.process else None
    for metric, value in _figures(scenario, result, cpu_s):
        ledger.add(scenario.name, metric, entrant.name, value)


def _figures(scenario: Scenario, result: client.Load, cpu_s: float | None) -> Iterator[tuple[str, float]]:
    kind = scenario.kind
    if cpu_s is not None:
        cpu_us = cpu_s / (result.answered + result.failed) * 1e6
        yield scenario.cpu_metric, cpu_us
        if kind.events:
            yield "CPU µs per event", cpu_us / kind.events
        yield "core busy, %", cpu_s / result.seconds * 100
    if kind.pause_ms:
        yield "p50 from upstream to client, ms", client.quantile_ms(result.late_s, 0.50)
        yield P99_LATE, client.quantile_ms(result.late_s, 0.99)
        return
    yield scenario.rate_metric, result.answered / result.seconds
    yield P50, client.quantile_ms(result.total_s, 0.50)
    yield "p95, ms", client.quantile_ms(result.total_s, 0.95)
    if kind.events:
        yield "first event, ms", client.quantile_ms(result.first_s, 0.50)


def _weigh(entrant: Entrant, metric: str, ledger: Ledger) -> None:
    if entrant.process:
        ledger.add("process", metric, entrant.name, entrant.process.rss_mb())
