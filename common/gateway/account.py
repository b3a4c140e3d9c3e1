"""What happens to one admitted request, kept as it happens, and the promise that it is settled."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from common.model.admission import Hold
from common.model.errors import CallerError, ClientLeft, UpstreamError, UpstreamRejected
from common.model.usage import Outcome, Usage, UsageRecord
from common.ports import Background, Clock, Meter

BYTES_PER_TOKEN = 4  # of text, where there is no better figure


@dataclass(slots=True)
class Account:
    """The facts of one request, for its usage record."""

    model: str
    streamed: bool
    request_bytes: int
    started: float  # by the monotonic clock
    attempts: int = 0
    provider: str = ""
    upstream_model: str = ""
    usage: Usage | None = None  # as the provider said it
    output_bytes: int = 0
    first_byte: float | None = None
    outcome: Outcome = field(default=Outcome.OK)

    def attempt(self, provider: str, upstream_model: str) -> None:
        """A candidate is about to be asked."""
        self.attempts += 1
        self.provider = provider
        self.upstream_model = upstream_model

    def record(self, hold: Hold, now: float) -> UsageRecord:
        """The usage record, `now` by the monotonic clock."""
        ask = hold.ask
        return UsageRecord(
            request_id=ask.request_id,
            key_id=ask.principal.key_id,
            user=ask.principal.user,
            model=self.model,
            provider=self.provider,
            upstream_model=self.upstream_model,
            outcome=self.outcome,
            streamed=self.streamed,
            attempts=self.attempts,
            usage=self.usage or self._estimate(),
            estimated=self.usage is None,
            started_ms=ask.now_ms,
            first_byte_ms=None if self.first_byte is None else round((self.first_byte - self.started) * 1000),
            total_ms=round((now - self.started) * 1000),
        )

    def _estimate(self) -> Usage:
        """What it may have used. Nothing, where no provider has given anything."""
        if not self.output_bytes:
            return Usage(0, 0, 0)
        return Usage(
            input_tokens=-(-self.request_bytes // BYTES_PER_TOKEN),
            cache_read_tokens=0,
            output_tokens=-(-self.output_bytes // BYTES_PER_TOKEN),
        )


def outcome_of(error: BaseException) -> Outcome:
    """By whose doing a request ended with `error`."""
    match error:
        case ClientLeft() | asyncio.CancelledError():
            return Outcome.CANCELLED
        case CallerError() | UpstreamRejected():
            return Outcome.CLIENT
        case UpstreamError():
            return Outcome.UPSTREAM
        case _:
            return Outcome.GATEWAY


class Settling:
    """A synchronous context manager around everything that happens under a hold.

    However the block is left, settling is handed to the background, where no cancellation of the request reaches it.
    It awaits nothing itself: an exit that awaits can be struck by a second cancellation, and would then not settle.
    """

    __slots__ = ("_account", "_background", "_clock", "_hold", "_meter")

    def __init__(
        self, hold: Hold, account: Account, meter: Meter, clock: Clock, background: Background
    ) -> None:
        self._hold = hold
        self._account = account
        self._meter = meter
        self._clock = clock
        self._background = background

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._account.outcome = outcome_of(error)
        record = self._account.record(self._hold, self._clock.monotonic())
        self._background.run(self._meter.settle(self._hold, record))
