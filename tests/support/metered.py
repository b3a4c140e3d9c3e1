"""Requests under a meter with little ceremony: instances with clocks of their own, over one backend's rows.

world = World(rows)
one, other = world.instance(), world.instance(skew_ms=2_000)
admission = await one.admit(principal(Limits(budget_day=100)), cost=40)
world.wait(300)
await other.settle(admission, cost=30)
"""

import asyncio
import random
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from common.metering.meter import LimitMeter
from common.metering.rows import Rows
from common.metering.standing import Hold, Standing
from common.model.admission import Admission, Ask
from common.model.errors import LimitError
from common.model.ids import KeyId, RequestId, UserId, new_request_id
from common.model.limits import UNLIMITED, Limits
from common.model.principal import DEFAULT_PERMISSIONS, Principal
from common.model.usage import Outcome, Tokens, UsageRecord
from common.ports import Meter
from tests.support.clock import FakeClock

MIDNIGHT: Final = 1_798_761_600_000  # 2027-01-01 UTC: a new day, a new month, a new sub-window
NOON: Final = MIDNIGHT - 43_200_000
KEY: Final = "key:key_1"
USER: Final = "user:ada"


def principal(key: Limits = UNLIMITED, user: Limits = UNLIMITED, key_id: str = "key_1") -> Principal:
    """A key of Ada's, and what limits it and her."""
    return Principal(KeyId(key_id), UserId("ada"), DEFAULT_PERMISSIONS, key, user)


def record(admission: Admission, cost: int = 0, tokens: int = 0, total_ms: int = 1_000) -> UsageRecord:
    """What becomes of a request that used this much."""
    ask = admission.ask
    return UsageRecord(
        request_id=ask.request_id,
        key_id=ask.principal.key_id,
        user=ask.principal.user,
        model="fast",
        provider="openrouter",
        upstream_model="openai/gpt-4o-mini",
        outcome=Outcome.OK,
        streamed=True,
        attempts=1,
        tokens=Tokens(input=tokens),
        estimated=False,
        cost_nanousd=cost,
        provider_cost_nanousd=None,
        held_nanousd=admission.held_nanousd,
        held_tokens=ask.tokens,
        sub_window=admission.sub_window,
        abandoned=False,
        started_ms=ask.now_ms,
        first_byte_ms=None,
        total_ms=total_ms,
    )


@dataclass
class Instance:
    """One process: its meter, and the clock that it goes by."""

    meter: Meter
    clock: FakeClock
    rng: random.Random

    def ask(self, who: Principal, cost: int = 0, tokens: int = 0, lifetime_s: int = 600) -> Ask:
        """A request that nobody has seen; its hold expires in `lifetime_s` seconds."""
        now_ms = self.clock.now_ms()
        return Ask(new_request_id(now_ms // 1000 + lifetime_s, self.rng), who, now_ms, tokens, cost)

    async def admit(self, who: Principal, cost: int = 0, tokens: int = 0, lifetime_s: int = 600) -> Admission:
        """Admit a new request."""
        return await self.meter.admit(self.ask(who, cost, tokens, lifetime_s))

    async def refuses(self, who: Principal, cost: int = 0, tokens: int = 0) -> LimitError:
        """Refuse a new request."""
        (outcome,) = await attempts([self.admit(who, cost, tokens)])
        assert isinstance(outcome, LimitError), "admitted"
        return outcome

    async def settle(
        self, admission: Admission, cost: int = 0, tokens: int = 0, total_ms: int = 1_000
    ) -> None:
        """Settle a request with what it used."""
        await self.meter.settle(admission, record(admission, cost, tokens, total_ms))


@dataclass
class World:
    """True time, and the instances that go by it."""

    rows: Rows
    now_ms: int = NOON
    instances: list[Instance] = field(default_factory=list)

    def instance(self, skew_ms: int = 0) -> Instance:
        """A new one, which has seen nothing yet; its clock is ahead of the true time by `skew_ms`."""
        clock = FakeClock(self.now_ms + skew_ms)
        self.instances.append(
            Instance(LimitMeter(self.rows, clock), clock, random.Random(len(self.instances)))
        )
        return self.instances[-1]

    def wait(self, ms: int) -> None:
        """Let time pass."""
        self.now_ms += ms
        for instance in self.instances:
            instance.clock.advance(ms / 1000)

    async def counts(self, row: str) -> dict[str, int]:
        """The counts of a row, those that are not zero."""
        (standing,) = await self.rows.read([row])
        return {name: count for name, count in standing.counts.items() if count}


async def attempts(calls: Iterable[Awaitable[Admission]]) -> Sequence[Admission | LimitError]:
    """What becomes of requests that come at once, each admitted or refused."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if not isinstance(outcome, Admission | LimitError):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Admission | LimitError)]


def holds(standing: Standing) -> dict[RequestId, Hold]:
    """The open holds of a row."""
    return {id_: Hold.decode(id_, text) for id_, text in standing.holds.items()}
