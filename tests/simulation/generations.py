"""What a provider tells of a generation when it is asked for its id: the truth, some time after its end, or a lie."""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from common.model.errors import UpstreamBroken, UpstreamUnreachable
from tests.simulation.loop import VirtualLoop
from tests.simulation.script import Asked

LATENCIES_S: Final = (0.0, 3.0, 200.0, 4_000.0)  # until it is told
_ABSURD: Final = 10**9


@dataclass(frozen=True, slots=True)
class Told:
    """What it will say."""

    from_s: float
    prompt: int
    completion: int


class Generations:
    """Those of all providers, by their ids."""

    def __init__(
        self, loop: VirtualLoop, rng: random.Random, hazard: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self.told: dict[str, Told] = {}
        self.failing = 0.0  # how often a provider does not answer
        self._loop = loop
        self._rng = rng
        self._hazard = hazard

    def ended(self, ask: Asked, output: int, *, free: bool) -> None:
        """A provider has charged for this much output; `free`: for nothing at all."""
        rng, lies = self._rng, ask.provider.temper.lies
        absurd = rng.random() < 0.1 and len(lies) > 1
        from_s = self._loop.time() + rng.choice(LATENCIES_S)
        prompt = 0 if free else ask.prompt_tokens
        self.told[ask.id] = Told(from_s, prompt, _ABSURD if absurd else 0 if free else output)

    def counts(self, id_: str) -> tuple[int, int] | None:
        """What a provider says that it used, of input and of output."""
        told = self.told.get(id_)
        return None if told is None else (told.prompt, told.completion)

    def lookup(self, url: str) -> "Lookup":
        """The exchange that asks for one."""
        return Lookup(self, url.partition("?id=")[2])

    async def answer(self, id_: str) -> tuple[int, bytes]:
        """Status and body."""
        await asyncio.sleep(self._rng.choice((0.001, 0.05)))
        await self._hazard()
        draw = self._rng.random()
        if draw < self.failing / 2:
            raise UpstreamUnreachable("The provider cannot be reached.")
        if draw < self.failing:
            raise UpstreamBroken("The provider's answer was cut short.")
        told = self.told.get(id_)
        if told is None or told.from_s > self._loop.time():
            return 404, b'{"error": {"message": "not found"}}'
        counts = {"native_tokens_prompt": told.prompt, "native_tokens_completion": told.completion}
        return 200, json.dumps({"data": {"id": id_, "total_cost": 0.001, **counts}}).encode()


class Lookup:
    """The context manager that `send` returns, and the response inside it."""

    def __init__(self, generations: Generations, id_: str) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {"content-type": "application/json"}
        self._generations = generations
        self._id = id_
        self._body = b""

    async def __aenter__(self) -> Self:
        self.status, self._body = await self._generations.answer(self._id)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Nothing is kept."""

    async def read(self) -> bytes:
        """See `UpstreamResponse.read`."""
        body, self._body = self._body, b""
        return body
