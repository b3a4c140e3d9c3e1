"""What worlds are like, and which one a seed has: some are calm, others a storm."""

import random
from dataclasses import dataclass, field, replace
from typing import Final

from common.model.limits import Limits
from tests.simulation.clients import Habits
from tests.simulation.process import ROUTINGS
from tests.simulation.script import Lie, Manner, Temper
from tests.simulation.storage import StorageFaults

MIDNIGHT_MS: Final = 1_798_761_600_000  # 2027-01-01 UTC: of a new month, and a new sub-window, too
NOON_MS: Final = MIDNIGHT_MS - 43_200_000

DIME: Final = 10**6  # nano-dollars; about what the smallest requests hold
FAILURES: Final = (
    Manner.SILENT,
    Manner.UNREACHABLE,
    Manner.BUSY,
    Manner.FAILS,
    Manner.REJECTS,
    Manner.FILTERS,
    Manner.TOO_LONG,
    Manner.CUT,
    Manner.CUT,
    Manner.ENDS_EARLY,
    Manner.SAYS_FAILED,
)
LIES: Final = tuple(lie for lie in Lie if lie is not Lie.NONE)


@dataclass(frozen=True, slots=True)
class Weather:
    """What a world is like."""

    users: tuple[Limits, ...]
    keys: tuple[tuple[int, Limits], ...]  # whose, and its limits
    clients: int = 5
    processes: int = 3
    start_ms: int = NOON_MS
    habits: Habits = field(default_factory=Habits)
    storage: StorageFaults = field(default_factory=StorageFaults)
    tempers: tuple[Temper, Temper, Temper] = (Temper(), Temper(), Temper())
    crashes: float = 0.0  # how often a process dies where it awaits something
    pauses: float = 0.0  # how often it is frozen there
    clock_steps: float = 0.0  # how often its clock is set there
    sweep_s: float | None = None  # how long each process waits between two sweeps, on average
    routing: str = ""  # lines of `[routing]`
    reconcile_s: float | None = None  # and between asking providers what they charged


def weather(seed: int) -> Weather:
    """The world of a seed."""
    rng = random.Random(f"weather {seed}")
    made = _weather(rng)
    return _brittle(made, rng) if rng.random() < 0.2 else made


def _brittle(made: Weather, rng: random.Random) -> Weather:
    """Long streams, of which whoever has begun them may not make an end."""
    temper = Temper(
        {Manner.ANSWERS: 0.4, Manner.CUT: 0.4, Manner.SAYS_FAILED: 0.2},
        token_s=(0.005,),
        verbose=1.0,
        strays=rng.choice((0.0, 0.2)),
        prefills=0.7,
    )
    habits = replace(
        made.habits, models=("five", "six", "seven"), output_max=(60, None), streams=1.0, choices=0.05
    )
    return replace(made, habits=habits, tempers=(temper, temper, temper))


def _weather(rng: random.Random) -> Weather:
    users = tuple(_limits(rng, 2) for _ in range(2))
    return Weather(
        users=users,
        keys=tuple((rng.randrange(2), _limits(rng, 1)) for _ in range(rng.randint(1, 4))),
        clients=rng.randint(2, 6),
        processes=rng.randint(1, 4),
        start_ms=rng.choice(
            (NOON_MS, NOON_MS, *(MIDNIGHT_MS - before for before in (60_000, 2_000, 3_600_000)))
        ),
        habits=_habits(rng),
        storage=_storage(rng),
        tempers=_tempers(rng),
        crashes=rng.choice((0.0, 0.0, 0.003, 0.02)),
        pauses=rng.choice((0.0, 0.0, 0.0, 0.005)),
        clock_steps=rng.choice((0.0, 0.05)),
        sweep_s=rng.choice((None, 20.0, 400.0, 4_000.0)),
        reconcile_s=rng.choice((None, 5.0, 60.0, 300.0)),
        routing=rng.choice((ROUTINGS[0], ROUTINGS[0], *ROUTINGS[1:])),
    )


def _limits(rng: random.Random, scale: int) -> Limits:
    """Each limit on some principals only, so that the others are reached."""

    def seldom(share: float, *values: int) -> int | None:
        return rng.choice(values) * scale if rng.random() < share else None

    return Limits(
        requests_per_minute=seldom(0.35, 1, 2, 4),
        tokens_per_minute=seldom(0.2, 150, 400),
        requests_per_day=seldom(0.1, 5, 12),
        tokens_per_day=seldom(0.1, 800, 2_000),
        max_parallel=seldom(0.2, 1, 2),
        budget_day=seldom(0.25, DIME, 3 * DIME, 8 * DIME),
        budget_month=seldom(0.25, DIME, 4 * DIME),
        budget_total=seldom(0.35, DIME, 3 * DIME, 10 * DIME),
    )


def _habits(rng: random.Random) -> Habits:
    return Habits(
        requests=(1, 4),
        patience=3,
        think_s=rng.choice(((0.0, 0.01, 0.2), (0.0, 0.2, 3.0), (0.0, 4.9, 5.1, 30.0), (0.0, 0.2, 3_700.0))),
        leaves=rng.choice((0.0, 0.2, 0.5)),
        slow=rng.choice((0.0, 0.3)),
        stalls=rng.choice((0.0, 0.0, 0.2)),
        deadline=rng.choice((0.0, 0.0, 0.5)),
        cancels=rng.choice((0.0, 0.0, 0.3)),
    )


def _storage(rng: random.Random) -> StorageFaults:
    bad = rng.choice((0.0, 0.0, 0.02, 0.06))

    def share() -> float:
        return rng.choice((0.0, bad, bad))

    return StorageFaults(
        fails=share(),
        lost=share(),
        late=share(),
        again=share(),
        ghost=share(),
        outage=rng.choice((0.0, bad / 3)),
        slow=rng.choice((0.0, 0.1, 0.5)),
    )


def _tempers(rng: random.Random) -> tuple[Temper, Temper, Temper]:
    first, second, third = _temper(rng), _temper(rng), _temper(rng)
    if rng.random() < 0.05:  # whatever is asked, and whoever
        first = second = third = Temper(
            {Manner.ANSWERS: 0.4, rng.choice((Manner.FILTERS, Manner.TOO_LONG)): 0.6}
        )
    return first, second, third


def _temper(rng: random.Random) -> Temper:
    bad = rng.choice((0.0, 0.2, 0.6))
    manners = {Manner.ANSWERS: 1.0 - bad}
    for manner in rng.sample(FAILURES, 3):
        manners[manner] = manners.get(manner, 0.0) + bad / 3
    lies = {Lie.NONE: 1.0} | dict.fromkeys(rng.sample(LIES, 2), rng.choice((0.0, 0.5)))
    return Temper(
        manners=manners,
        lies=lies,
        token_s=rng.choice(((0.0, 0.005), (0.02, 0.5), (0.0, 5.0))),
        excess=rng.choice((0.0, 0.2)),
        breach=rng.choice((0.0, 0.0, 0.05)),
        verbose=rng.choice((0.1, 0.5, 1.0)),
        strays=rng.choice((0.0, 0.3)),
        prefills=rng.choice((0.5, 1.0)),
    )
