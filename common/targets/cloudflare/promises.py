"""Waiting on the platform, where Pyodide's own way is not enough.

Two traps of Pyodide 314.0.7, and what is done about them:

- A call that returns a promise gives a future. Where the promise is rejected with something else than an `Error` (a
  stream whose reader has left is, with `undefined`), that future is never done. And some promises the platform itself
  never settles: a pending write, where its flags are older. So each wait can be given up from outside.
- Its event loop forgets no timer that was cancelled: the timer stays, with what it would have called, until it would
  have fired. In a stream those are two, and whether they are freed with the request is the platform's affair. So
  timers that are cancelled are cleared.
"""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import js
from pyodide.ffi import JsException, create_once_callable

Js: TypeAlias = Any
"""Something of JavaScript's."""

_GIVEN_UP: Final = object()
_LONGEST_MS: Final = 2**31 - 1  # of `setTimeout`


class Waits:
    """What one request is waiting for just now."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[Js]] = []

    async def settled(self, promised: asyncio.Future[Js]) -> tuple[bool, Js]:
        """Whether it was fulfilled, and with what. Not, where it was given up."""
        self._waiting.append(promised)
        try:
            value = await promised
        except JsException:
            return False, None
        finally:
            self._waiting.remove(promised)
        return value is not _GIVEN_UP, value

    def give_up(self) -> None:
        """End every wait. What is settled later, and how, nobody hears of."""
        for promised in self._waiting:
            if not promised.done():
                promised.set_result(_GIVEN_UP)


def forget(promised: asyncio.Future[Js]) -> None:
    """Nobody waits for it, and its failure is no news."""
    promised.add_done_callback(lambda done: done.cancelled() or done.exception())


class _Timer(asyncio.TimerHandle):
    """One that leaves the platform's list when it is cancelled."""

    def __init__(
        self,
        delay_s: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        super().__init__(loop.time() + delay_s, callback, args, loop, context)
        self._call_soon = loop.call_soon
        self._ringing: Js = create_once_callable(self._ring)
        self._number = js.setTimeout(self._ringing, min(delay_s * 1000, _LONGEST_MS))

    def cancel(self) -> None:
        """See `asyncio.TimerHandle.cancel`."""
        if self._ringing is not None:
            js.clearTimeout(self._number)
            self._ringing.destroy()
            self._ringing = None
        asyncio.Handle.cancel(self)

    def _ring(self) -> None:
        self._ringing = None
        self._call_soon(self._call)  # the loop's own way, which makes it the running one

    def _call(self) -> None:
        if not self.cancelled():
            self._run()


def clear_cancelled_timers(loop: asyncio.AbstractEventLoop) -> None:
    """Make `loop` do so from now on: `call_at`, and with it `asyncio.timeout` and `sleep`, go by `call_later`."""
    if "call_later" in vars(loop):
        return  # it does
    original = loop.call_later

    def call_later(
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if delay <= 0:
            return original(0, callback, *args, context=context)
        return _Timer(delay, callback, args, loop, context)

    loop.call_later = call_later  # type: ignore[method-assign,assignment]
