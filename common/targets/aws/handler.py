"""A function as Lambda calls it, in one of two ways.

- Our runtime takes `app` and streams. That is how functions are deployed.
- The managed runtime, and whoever tests as it does, calls the handler with each event: events of API Gateway, of load
  balancers and of function URLs, whose answers are whole. Mangum translates them; it is imported when first needed.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.gateway.context import Gone, RequestContext
from common.targets.aws.asgi import Application, Message, Receive, Send
from common.targets.aws.log import correlate
from common.targets.aws.runtime import DRAIN_MARGIN_S, Trigger, answer_nothing

if TYPE_CHECKING:
    from mangum import Mangum

_log = logging.getLogger("sluice.aws")


class Deployed(Protocol):
    """What a function has behind it."""

    background: TaskBackground

    def wake(self) -> None:
        """An invocation begins; the process may have been frozen for long."""

    def rest(self) -> None:
        """The invocation is over; the process may freeze now."""

    def before_snapshot(self) -> None:
        """Leave nothing connected."""

    def after_restore(self) -> None:
        """This is one of many copies: have nothing random in common with the others."""


class LambdaContext(Protocol):
    """Of the managed runtime's context, what is used."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Until the function is ended."""


class Handler:
    """What `_HANDLER` names."""

    def __init__(self, app: Application, deployed: Deployed, trigger: Trigger = answer_nothing) -> None:
        """`app`: whoever calls it sets `scope["sluice"]`. `trigger`: for what is no HTTP request."""
        self.app = app
        self.trigger = trigger
        self.deployed = deployed
        self._clock = SystemClock()
        self._deadline_ms = 0

    def __call__(self, event: Mapping[str, Any], context: LambdaContext) -> Any:
        """Answer an event with all of the response."""
        self._deadline_ms = self._clock.now_ms() + context.get_remaining_time_in_millis()
        correlate(context.aws_request_id, os.environ.get("_X_AMZN_TRACE_ID"))
        self.deployed.wake()
        mangum = self._mangum
        try:
            mangum.infer(event, context)  # type: ignore[arg-type] # both are what the platform makes them
        except (RuntimeError, KeyError, TypeError):
            answer = self._loop.run_until_complete(self.trigger(event))
        else:
            answer = mangum(event, context)  # type: ignore[arg-type]
        left_s = (self._deadline_ms - self._clock.now_ms()) / 1000 - DRAIN_MARGIN_S
        if unfinished := self._loop.run_until_complete(self.deployed.background.drain(max(left_s, 0.0))):
            _log.warning("%d pieces of background work outlast %s", unfinished, context.aws_request_id)
        self.deployed.rest()
        return answer

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """One for all invocations: connections that are kept belong to it."""
        return asyncio.new_event_loop()

    @cached_property
    def _mangum(self) -> "Mangum":
        from mangum import Mangum

        asyncio.set_event_loop(self._loop)  # which Mangum takes
        return Mangum(self._with_context, lifespan="off")

    async def _with_context(self, scope: Message, receive: Receive, send: Send) -> None:
        scope["sluice"] = RequestContext(self.deployed.background, Gone(), self._deadline_ms)
        await self.app(scope, receive, send)
