"""The whole gateway in a world that one seed decides: processes that share a store, providers, clients, and trouble.

    report = World(7, weather(7)).run()  # raises `Violation` where an invariant does not hold

Everything of the gateway is real. Only what lies outside of a process is simulated: the store's network, providers,
clients, the clock, and the process's death.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from common.adapters.memory import MemoryDeadLetters, MemoryRows
from common.gateway.context import Gone
from common.gateway.reconciliation import EVERY, reconcile
from common.gateway.repair import settle_again
from common.metering.meter import LimitMeter
from common.metering.sweeper import sweep
from common.model.errors import ClientLeft, StorageUnavailable
from common.model.ids import RequestId
from common.providers.provider import provider_of
from tests.simulation.clients import Client, Request
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.logs import quiet
from tests.simulation.loop import OWNER, SimClock, virtual_loop
from tests.simulation.principals import Principals
from tests.simulation.process import Process, Shared, prices, settings
from tests.simulation.script import Asked, Manner, Provider, Script
from tests.simulation.storage import Storage
from tests.simulation.told import Told
from tests.simulation.upstream import Upstreams
from tests.simulation.weather import Weather

Tell = Callable[[str], None]
Job = Callable[[Process], Coroutine[Any, Any, None]]
MOST_SKEW_MS: Final = 2_000
SOONEST_DEADLINE_S: Final = 8.0  # of those that are held to it: it takes some seconds where the store is slow
CLOCKS_SET_S: Final = 3.5  # how much later a deadline may seem to be where clocks are set meanwhile
RECOVERY_S: Final = 5_000  # until what is frozen goes on and what is down comes up
HOLDS_EXPIRED_S: Final = 9_000  # until all that is late has come, too


@dataclass(frozen=True, slots=True)
class Report:
    """What happened; money in nano-dollars. `digest` is the same whenever the seed is."""

    requests: int
    answered: int
    admitted: int
    crashes: int
    swept: int
    corrected: int
    billed: int
    unseen: int  # of that, for what the gateway had no chance to see
    booked: int
    digest: str


class World:
    """One run."""

    def __init__(
        self, seed: int, weather: Weather, *, client: type[Client] = Client, tell: Tell | None = None
    ) -> None:
        """`tell`: hears what happens, line by line."""
        self.weather = weather
        self._tell = tell
        self._rng = random.Random(seed)
        self.loop = virtual_loop(random.Random(seed + 1))
        self.invariants = Invariants()
        self._principals = Principals(weather.users, weather.keys)
        for name, limits in self._principals.limits.items():
            self.invariants.row(name, limits)
        self.requests: dict[str, Request] = {}
        self.crashes = self.booked = self.swept = self.corrected = self._started = 0
        self._calm = False
        self.told = Told(weather.routing)
        self.rows, self._letters = MemoryRows(), MemoryDeadLetters()
        self._storage = self._make_storage(random.Random(seed + 2))
        self._upstreams = self._make_upstreams(random.Random(seed + 3))
        self._shared = Shared(
            keys=self._principals.key_store,
            users=self._principals.user_store,
            rows=self._storage,
            dead_letters=self._letters,
            upstream=self._upstreams,
            settings=settings(weather.routing),
        )
        self.invariants.admitted = self._shared.admitted
        self.invariants.told = self._upstreams.generations.counts
        self.processes: list[Process] = []
        for _ in range(weather.processes):
            self._start_process()
        keys = self._principals.keys
        self._clients = [
            client(self, keys[number % len(keys)], weather.habits, random.Random(seed * 1000 + number))
            for number in range(weather.clients)
        ]

    def run(self) -> Report:
        """Everything that happens. Raises `Violation`."""
        with quiet() as errors:
            try:
                self.loop.run(self._live())
            finally:
                self._calm = True
                for process in self.processes:
                    process.alive = False
                self.loop.close()
        for error in errors:
            if not isinstance(error, StorageUnavailable | ClientLeft):
                raise Violation("something failed that nobody expects to") from error
        return self._report()

    def say(self, what: str, *facts: object) -> None:
        """Say what happens, and when, and in which process; `facts` fill the gaps in `what`."""
        if self._tell is not None:
            process = OWNER.get()
            who = f" {process.name}" if isinstance(process, Process) else ""
            self._tell(f"{self.loop.time():.3f}{who} {what % facts}")

    # -- what clients ask for ------------------------------------------------------------------------------------------

    async def request(self, key: str, *, streamed: bool, model: str, choices: int) -> Request:
        """A new request to one of the processes, as soon as one is alive."""
        while not self.processes:  # noqa: ASYNC110 - nobody tells when one starts
            await asyncio.sleep(0.1)
        process = self._rng.choice(self.processes)
        nonce = str(len(self.requests) + 1)
        done, leaving = self.loop.create_future(), self.loop.create_future()
        self.requests[nonce] = Request(nonce, key, process, streamed, model, choices, Gone(), done, leaving)
        return self.requests[nonce]

    def id_of(self, request: Request) -> RequestId:
        """The gateway's own, once the meter was asked; before that, none."""
        return self._shared.ids.get(request.nonce, RequestId(""))

    def serve(self, request: Request, answer: Coroutine[Any, Any, None]) -> None:
        """Answer it in its process."""

        def served(task: "asyncio.Task[None]") -> None:
            if not request.done.done():
                request.done.set_result(None)
            if not task.cancelled():
                task.result()

        request.served_s = now = self.loop.time()
        outside = self.loop.outside
        task = self.loop.create_task(answer, context=request.process.context_of_request(request.nonce))
        request.serving = task
        task.add_done_callback(served, context=outside)
        if request.deadline_s is not None and request.deadline_s >= now + SOONEST_DEADLINE_S:
            by_s = request.deadline_s + (CLOCKS_SET_S if self.weather.clock_steps else 0.0)
            self.loop.call_at(by_s, self._check_deadline, request, now, context=outside)
        if request.timeout_s is not None:
            by_s = now + request.timeout_s + SOONEST_DEADLINE_S
            self.loop.call_at(by_s, self._check_timeout, request, now, context=outside)

    def _check_timeout(self, request: Request, since_s: float) -> None:
        """Whoever has said how long it waits, and is still there, does not wait for longer."""
        if not request.left:
            self._check_deadline(request, since_s)

    def _check_deadline(self, request: Request, since_s: float) -> None:
        """M4: whoever was admitted is being settled when the platform ends it, but who was frozen."""
        process, shared = request.process, self._shared
        awake = process.alive and not process.paused and process.resumed_s < since_s
        id_ = self.id_of(request)
        if awake and id_ in shared.admitted and id_ not in shared.settling:
            raise Violation(f"M4: the platform's deadline has come, and {id_} is not being settled")

    # -- trouble -------------------------------------------------------------------------------------------------------

    async def hazard(self, *, may_pause: bool = True) -> None:
        """Whoever awaits something may not live to see it, or see it much later, or by another clock."""
        process, weather, rng = OWNER.get(), self.weather, self._rng
        if self._calm or not isinstance(process, Process):
            return
        draw = rng.random()
        if draw < weather.crashes:
            self.say("dies")
            self._crash(process)
            await self.loop.create_future()
        elif draw < weather.crashes + weather.pauses and may_pause:
            pause_s = rng.choice((0.5, 3.0, 70.0, 4_000.0))
            self.say("is frozen for %s s", pause_s)
            process.paused = True
            self.loop.call_later(pause_s, self.loop.resume, process, context=self.loop.outside)
            await asyncio.sleep(0)
        elif draw < weather.crashes + weather.pauses + weather.clock_steps:
            process.clock.skew_ms = self._skew_ms()
            self.say("has its clock set to %s ms", process.clock.skew_ms)

    def _crash(self, process: Process) -> None:
        process.alive = False
        self.crashes += 1
        self.processes.remove(process)
        requests = [request for request in self.requests.values() if request.process is process]
        for request in requests:
            if not request.done.done():
                request.done.set_result(None)
        later, outside = self.loop.call_later, self.loop.outside
        later(self._rng.choice((0.0, 0.3, 2.0)), self._restart_process, context=outside)
        later(0.05, self._upstreams.hang_up, {request.nonce for request in requests}, context=outside)

    def _start_process(self) -> None:
        self._started += 1
        clock = SimClock(self.loop, self.weather.start_ms, self._skew_ms())
        rng = random.Random(self._rng.getrandbits(64))
        self.processes.append(Process(f"process {self._started}", self._shared, clock, rng))

    def _restart_process(self) -> None:
        self._start_process()
        self._schedule_jobs(self.processes[-1])

    def _schedule_jobs(self, process: Process) -> None:
        weather = self.weather
        for job, every_s in ((self._sweep, weather.sweep_s), (self._reconcile, weather.reconcile_s)):
            if every_s is not None:
                self.loop.create_task(
                    self._again_and_again(job, process, every_s), context=process.context.copy()
                )

    async def _again_and_again(self, job: Job, process: Process, every_s: float) -> None:
        """What a process does besides answering, as its scheduler lets it."""
        while not self._calm:
            await asyncio.sleep(self._rng.uniform(0, 2 * every_s))
            with suppress(StorageUnavailable):
                await job(process)

    async def _sweep(self, process: Process) -> None:
        swept = await sweep(self._storage, self._principals.key_store, process.clock)
        self.say("sweeps %s", swept)
        self.swept += swept

    async def _reconcile(self, process: Process) -> None:
        corrected, given_up, left = await reconcile(process.routes, self._storage, process.clock)
        self.say("corrects %s, gives up %s, leaves %s", corrected, given_up, left)
        self.corrected += corrected

    def _skew_ms(self) -> int:
        return self._rng.randint(-MOST_SKEW_MS, MOST_SKEW_MS)

    # -- store and providers -------------------------------------------------------------------------------------------

    def _make_storage(self, rng: random.Random) -> Storage:
        return Storage(
            self.rows,
            self.weather.storage,
            loop=self.loop,
            rng=rng,
            invariants=self.invariants,
            say=self.say,
            hazard=self.hazard,
        )

    def _make_upstreams(self, rng: random.Random) -> Upstreams:
        configured = settings().providers
        stops = {name: provider_of(each).cancel_stops_billing for name, each in configured.items()}
        providers = {
            name: Provider(name, price, stops[name], temper)
            for (name, price), temper in zip(prices().items(), self.weather.tempers, strict=True)
        }
        return Upstreams(
            providers,
            loop=self.loop,
            rng=rng,
            hazard=self.hazard,
            on_asked=self._asked,
            on_answer=self._answers,
            on_billed=self._billed,
        )

    def _asked(self, asked: Asked) -> None:
        request, id_ = self.requests[asked.nonce], self._shared.ids[asked.nonce]
        self.say("%s is sent to %s, may cost %s", id_, asked.provider.name, asked.most)
        names = [name for name in self._principals.rows(request.key) if name in self.invariants.books]
        record = self.rows.records.get(id_)
        abandoned = record.held_nanousd if record is not None and record.abandoned else None
        rows = {name: self.rows.standings[name] for name in names}
        try:
            self.told.check_attempt(request, asked)
            self.invariants.sending(id_, asked.possible, rows, abandoned)
        except Violation as violation:  # the gateway would make an answer of it
            self.loop.fail(violation)

    def _answers(self, asked: Asked, manner: Manner, script: Script) -> None:
        self.say("%s %s: %s", asked.provider.name, manner, script.texts)
        self.told.answers(asked, manner, script)

    def _billed(self, asked: Asked, cost: int, unseen: int, breached: bool) -> None:  # noqa: FBT001
        id_ = self._shared.ids[asked.nonce]
        self.say("%s is billed by %s with %s, of it unseen %s", id_, asked.provider.name, cost, unseen)
        most = cost if asked.output_max is None else asked.most
        self.invariants.billed(id_, cost, most, asked.possible, unseen, breached=breached)

    # -- the run -------------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        for process in self.processes:
            self._schedule_jobs(process)
        await asyncio.gather(*(self.loop.create_task(client.live()) for client in self._clients))
        self._calm = self._upstreams.calm = True
        self._storage.calm()
        await asyncio.sleep(RECOVERY_S)
        for request in self.requests.values():
            request.leave()
        await asyncio.sleep(1)
        await self._drain()
        self._check_settled()
        if self._rng.random() < 0.5:
            await self._repair()  # while holds are open; else when they are booked
        await asyncio.sleep(HOLDS_EXPIRED_S)
        if self._rng.random() < 0.5:
            await self._sweep_all()
        self.booked = sum(record.cost_nanousd for record in self.rows.records.values())
        last = replace(
            self.weather.habits, requests=(1, 1), patience=1, leaves=0, slow=0, stalls=0, deadline=0
        )
        for key in self._principals.keys:
            await Client(self, key, last, self._rng).live()
        await self._drain()
        await self._repair()
        await self._reconcile_all()
        self.invariants.check_end(self.rows.standings, self.rows.records)

    async def _drain(self) -> None:
        for process in self.processes:
            left = await process.background.drain(60)
            if left:
                raise Violation(f"{left} pieces of background work never end")

    async def _repair(self) -> None:
        """Settle what was laid down, as the operator does, who may do it again."""
        meter = LimitMeter(self._storage, SimClock(self.loop, self.weather.start_ms, 0))
        for record in self._letters.records:
            await settle_again(meter, self._storage, record)

    async def _reconcile_all(self) -> None:
        """As a scheduler does until each record's hour has come."""
        for _ in range(26):  # two hours: some are told only after the first
            for process in self.processes[:1]:
                await self._reconcile(process)
            if all(record.awaiting is None for record in self.rows.records.values()):
                break
            await asyncio.sleep(EVERY.total_seconds())

    async def _sweep_all(self) -> None:
        """M4: where nobody comes back, no expired hold survives the next sweep, and its record names the key."""
        clock = SimClock(self.loop, self.weather.start_ms, 0)
        self.swept += await sweep(self._storage, self._principals.key_store, clock)
        for name, standing in self.rows.standings.items():
            if standing.holds:
                raise Violation(f"M4: {set(standing.holds)} in {name} outlived a sweep")

    def _check_settled(self) -> None:
        """M4: whoever lives has settled all that it admitted, or has laid it down."""
        letters = {record.request_id for record in self._letters.records}
        for id_, process in self._shared.admitted.items():
            record = self.rows.records.get(id_)
            if process.alive and id_ not in letters and (record is None or record.abandoned):
                raise Violation(f"M4: {id_} was never settled")
        for request in self.requests.values():
            self._check_taken_back(request)
            self.told.check_first_byte(request, self.rows.records.get(self.id_of(request)))

    def _check_taken_back(self, request: Request) -> None:
        """M4: whoever lives has given back what it may hold without having heard so, if the storage let it."""
        id_ = self.id_of(request)
        if not request.process.alive or id_ in self._shared.admitted or self._shared.not_taken_back[id_] > 3:
            return
        for name, book in self.invariants.books.items():
            entry = book.entries.get(id_)
            if entry is not None and entry.open and entry.in_time:
                raise Violation(f"M4: {id_} was never sent, and still holds something in {name}")

    def _report(self) -> Report:
        served = self.invariants.served.values()
        text = repr((self.loop.time(), self._storage.calls, sorted(self.rows.records.items())))
        return Report(
            requests=len(self.requests),
            answered=sum(client.answered for client in self._clients),
            admitted=len(self._shared.admitted),
            crashes=self.crashes,
            swept=self.swept,
            corrected=self.corrected,
            billed=sum(each.billed for each in served),
            unseen=sum(each.unseen for each in served),
            booked=self.booked,
            digest=hashlib.sha256(text.encode()).hexdigest(),
        )
