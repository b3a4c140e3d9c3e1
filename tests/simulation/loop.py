"""An event loop without sockets and threads, whose time jumps to the next timer as soon as nothing is ready.

What is ready runs in the order in which it became so, as asyncio promises; timers of one instant fire in an order that
the seed draws, since asyncio promises none. Whatever takes time in the simulated world waits on a timer, so a run is a
pure function of its seed.

Everything belongs to the process (`Owner`) in whose context it was started. A dead process is never run again: nothing
in it is cancelled, no `finally` of it happens. A paused one goes on later, as a frozen function does.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_TICK_S: Final = 1e-6  # of this clock: a step that rounding leaves of none would never end
_MOST_STEPS: Final = 300_000  # a run that needs more will never end


@dataclass(eq=False)
class Owner:
    """A process, as far as the loop knows it."""

    alive: bool = True
    paused: bool = False
    resumed_s: float = -1.0  # when it went on last
    backlog: list["_Ready"] = field(default_factory=list)


OWNER: Final[ContextVar[Owner | None]] = ContextVar("OWNER", default=None)
_Ready = tuple[asyncio.Handle, Context, Callable[..., object], tuple[Any, ...]]


class VirtualLoop(asyncio.AbstractEventLoop):
    """See the module. Run it once, then `close` it."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._now = 0.0
        self._ready: deque[_Ready] = deque()
        self._timers: list[tuple[float, float, int, _Ready]] = []
        self._made = 0
        self._tasks: list[asyncio.Task[Any]] = []  # a task that nobody refers to would be closed, and settle
        self._failed: BaseException | None = None
        self.outside = copy_context()  # belongs to no process

    # -- what asyncio asks of a loop -----------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the start of the world."""
        return self._now

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """While anybody can ask."""
        return True

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """See asyncio."""
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append((handle, context, callback, args))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        context = copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._made += 1
        if when > self._now:
            when = max(when, self._now + _TICK_S)
        heappush(self._timers, (when, self._rng.random(), self._made, (handle, context, callback, args)))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """See asyncio."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """See asyncio."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A task's error that nobody has looked at ends the run; tasks of dead processes are known to be pending."""
        error = context.get("exception")
        if isinstance(error, BaseException) and isinstance(context.get("future"), asyncio.Task):
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the run with `error`, however it came about; the first one stands."""
        self._failed = self._failed or error

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        """Seen when its time has come."""

    # -- the world's side ----------------------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """The outcome of `main`. Raises whatever a callback raised, and that nothing can ever happen any more."""
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            for _ in range(_MOST_STEPS):
                self._step()
                if self._failed is not None:
                    raise self._failed
                if task.done():
                    return task.result()
            raise AssertionError("the run does not end")
        finally:
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        if not self._ready:
            self._advance()
        handle, context, callback, args = ready = self._ready.popleft()
        if handle.cancelled():
            return
        owner = context.get(OWNER)
        if owner is not None:
            if not owner.alive:
                return
            if owner.paused:
                owner.backlog.append(ready)
                return
        try:
            context.run(callback, *args)
        except Exception as error:  # noqa: BLE001 - an invariant that does not hold, found in a callback
            self.fail(error)

    def _advance(self) -> None:
        while self._timers:
            when, _, _, ready = heappop(self._timers)
            if ready[0].cancelled():
                continue
            self._now = max(self._now, when)
            self._ready.append(ready)
            return
        raise AssertionError("nothing is ready, and nothing ever will be: somebody waits in vain")

    def resume(self, owner: Owner) -> None:
        """Let a paused process go on with what has become ready meanwhile."""
        owner.paused, owner.resumed_s = False, self._now
        self._ready.extend(owner.backlog)
        owner.backlog.clear()

    def close(self) -> None:
        """Throw away what is left of the world; `finally` blocks of dead processes happen here, and change nothing."""
        asyncio._set_running_loop(self)
        try:
            for task in [*self._tasks]:
                if not task.done():
                    with suppress(RuntimeError):  # it awaits in a `finally`
                        task.get_coro().close()
        finally:
            asyncio._set_running_loop(None)
        self._ready.clear()
        self._timers.clear()
        self._tasks.clear()


def virtual_loop(rng: random.Random) -> VirtualLoop:
    """A new one. Tasks, futures and time-outs ask no more of a loop than it has."""
    return VirtualLoop(rng)  # type: ignore[abstract]


@dataclass
class SimClock:
    """A `Clock` that is off by `skew_ms`, which may be set while it runs, also back."""

    loop: VirtualLoop
    start_ms: int
    skew_ms: int

    def now_ms(self) -> int:
        """See `Clock.now_ms`."""
        return self.start_ms + int(self.loop.time() * 1000) + self.skew_ms

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self.loop.time()
