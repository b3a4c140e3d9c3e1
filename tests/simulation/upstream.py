"""Scripted providers behind a network. They keep their own account, the truth that the gateway is held against.

A provider bills what it had generated when its client left; where leaving changes nothing, all of it.
"""

import asyncio
import random
from bisect import bisect_right
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Self

from common.model.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from common.ports import UpstreamRequest, UpstreamResponse
from tests.simulation.generations import Generations
from tests.simulation.loop import OWNER, VirtualLoop
from tests.simulation.script import Asked, Author, Manner, Provider, Script, Temper, asked

_NOTICED_S: Final = 0.001  # what arrived longer ago than this can be read

Bill = Callable[[Asked, int, int, bool], None]
"""Nano-dollars, of these for what the gateway had no chance to see, and whether the trust boundary was left."""


class Upstreams:
    """An `Upstream` to all providers, by the host names of their addresses."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        *,
        loop: VirtualLoop,
        rng: random.Random,
        hazard: Callable[[], Coroutine[Any, Any, None]],
        on_asked: Callable[[Asked], None],
        on_answer: Callable[[Asked, Manner, Script], None],
        on_billed: Bill,
    ) -> None:
        """`on_asked` before anything is sent; `on_billed` when the provider knows what it charges.

        `on_answer` when it knows what it will do.
        """
        self.providers = providers
        self.loop = loop
        self.rng = rng
        self.hazard = hazard
        self.on_asked = on_asked
        self.on_answer = on_answer
        self.on_billed = on_billed
        self.calm = False  # then nothing but good answers
        self.open: list[Exchange] = []
        self.generations = Generations(loop, rng, hazard)
        self.asked = 0

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        """See `Upstream.send`."""
        if request.method == "GET":
            return self.generations.lookup(request.url)
        self.asked += 1
        return Exchange(self, request)

    def hang_up(self, nonces: set[str]) -> None:
        """Those who asked these are dead, and their connections closed."""
        for exchange in [*self.open]:
            if exchange.asked.nonce in nonces:
                exchange.leave()


class Exchange:
    """One attempt: the context manager that `send` returns, and the response inside it."""

    def __init__(self, upstreams: Upstreams, request: UpstreamRequest) -> None:
        provider = upstreams.providers[request.url.split("/")[2]]
        self.asked = asked(provider, f"gen-{upstreams.asked}", request.body)
        self._upstreams = upstreams
        self._timeouts = request.timeouts
        self._script = Script()
        self._read = 0  # bytes
        self._left = False

    @property
    def status(self) -> int:
        """See `UpstreamResponse`."""
        return self._script.status

    @property
    def headers(self) -> Mapping[str, str]:
        """See `UpstreamResponse`."""
        return self._script.headers

    async def __aenter__(self) -> Self:
        upstreams = self._upstreams
        rng, loop, patience_s = upstreams.rng, upstreams.loop, self._timeouts.first_byte_s
        upstreams.on_asked(self.asked)
        await upstreams.hazard()
        temper = Temper() if upstreams.calm else self.asked.provider.temper
        (manner,) = rng.choices(list(temper.manners), list(temper.manners.values()))
        if self.asked.begun is not None and rng.random() >= temper.prefills:
            manner = Manner.REJECTS
        if manner is Manner.UNREACHABLE:
            await asyncio.sleep(rng.choice((0.0, 0.01)))
            raise UpstreamUnreachable("The provider cannot be reached.")
        upstreams.open.append(self)
        self._script = Author(self.asked, temper, rng, loop.time()).write(manner)
        upstreams.on_answer(self.asked, manner, self._script)
        arrives = self._script.arrives
        wait_s = arrives[0][0] - loop.time() if arrives else float("inf")
        try:
            await self._wait(wait_s, patience_s)
            await upstreams.hazard()
        except BaseException:
            self.leave()
            raise
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.leave()

    async def read(self) -> bytes:
        """See `UpstreamResponse.read`."""
        loop, script = self._upstreams.loop, self._script
        await self._upstreams.hazard()
        while True:
            there = self._there()
            if there > self._read:
                data = script.body[self._read : there]
                self._read = there
                return data
            if there == len(script.body):
                if script.breaks:
                    raise UpstreamBroken("The provider's answer was cut short.")
                return b""
            wait_s = next(at for at, size in script.arrives if size > there) - loop.time()
            await self._wait(wait_s, self._timeouts.idle_s)

    @staticmethod
    async def _wait(wait_s: float, patience_s: float) -> None:
        await asyncio.sleep(min(wait_s, patience_s))
        if wait_s > patience_s:
            raise UpstreamTimeout("The provider is silent.")

    def leave(self) -> None:
        """The connection is closed; the provider knows what it charges."""
        if self._left:
            return
        self._left = True
        self._upstreams.open.remove(self)
        script, ask = self._script, self.asked
        stops = ask.provider.cancel_stops
        output = self._generated() if stops else len(script.generated)
        self._upstreams.generations.ended(ask, output, free=script.free)
        if script.free:
            return
        bill = ask.bill(output)
        unseen = max(0, bill - ask.bill(self._seen())) if ask.streamed and stops else 0
        self._upstreams.on_billed(ask, bill, unseen, script.breached)

    def _generated(self) -> int:
        return bisect_right(self._script.generated, self._upstreams.loop.time())

    def _seen(self) -> int:
        """Tokens of a stream whose events have been read, or could have been: but by who was frozen until now."""
        owner = OWNER.get()
        frozen = owner is not None and owner.resumed_s == self._upstreams.loop.time()
        heard = self._read if frozen else max(self._read, self._there(_NOTICED_S))
        return bisect_right(self._script.written, heard - 1)

    def _there(self, before_s: float = 0.0) -> int:
        """How many bytes have arrived by now, or by an earlier time."""
        by = self._upstreams.loop.time() - before_s
        return next((size for at, size in reversed(self._script.arrives) if at <= by), 0)
