"""What happens to one admitted request, kept as it happens, and the promise that it is settled."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from common.gateway.gateway import Gateway
from common.gateway.quote import Offer, Quote
from common.gateway.settlement import settle
from common.metering.price import cost
from common.metering.usage_check import Checked, check_usage
from common.model.admission import Admission
from common.model.errors import (
    CallerError,
    ClientLeft,
    LimitError,
    SluiceError,
    UpstreamError,
    UpstreamRejected,
)
from common.model.usage import Outcome, Tokens, UsageRecord
from common.ports import Background


@dataclass(slots=True)
class Attempt:
    """One candidate that was asked, and what came back."""

    offer: Offer
    cancel_stops_billing: bool  # closing the connection ends what the provider charges
    sent: bool = True  # the provider may have begun to work on it
    usage: Mapping[str, object] | None = None  # as the provider said it
    provider_cost_nanousd: int | None = None
    content_bytes: int = 0
    content_events: int = 0
    whole: bool = False  # the answer came to its end
    took_s: float = 0.0  # from asking to the end of the answer

    def failed(self, error: SluiceError) -> None:
        """It ended with `error`."""
        if isinstance(error, UpstreamError) and not error.may_be_billed and not self.content_events:
            self.sent = False


@dataclass(slots=True)
class Account:
    """The facts of one request, for its usage record."""

    model: str
    streamed: bool
    quote: Quote
    started: float  # by the monotonic clock
    attempts: list[Attempt] = field(default_factory=list)
    first_byte: float | None = None
    outcome: Outcome = Outcome.OK
    settled: UsageRecord | None = None  # what is handed to the meter, once that is known

    def attempt(self, offer: Offer, *, cancel_stops_billing: bool) -> Attempt:
        """A candidate is about to be asked."""
        self.attempts.append(Attempt(offer, cancel_stops_billing))
        return self.attempts[-1]

    def record(self, admission: Admission, now: float) -> UsageRecord:
        """The usage record, `now` by the monotonic clock."""
        ask = admission.ask
        last = self.attempts[-1] if self.attempts else None
        billed = [(attempt, self._checked(attempt)) for attempt in self.attempts if attempt.sent]
        tokens = _sum([checked.tokens for _, checked in billed])
        return UsageRecord(
            request_id=ask.request_id,
            key_id=ask.principal.key_id,
            user=ask.principal.user,
            model=self.model,
            provider=last.offer.target.provider if last else "",
            upstream_model=last.offer.target.model if last else "",
            outcome=self.outcome,
            streamed=self.streamed,
            attempts=len(self.attempts),
            tokens=tokens,
            estimated=any(checked.estimated for _, checked in billed),
            cost_nanousd=sum(self._cost(attempt, checked) for attempt, checked in billed),
            provider_cost_nanousd=last.provider_cost_nanousd if last else None,
            held_nanousd=admission.held_nanousd,
            held_tokens=ask.tokens,
            sub_window=admission.sub_window,
            abandoned=False,
            started_ms=ask.now_ms,
            first_byte_ms=None if self.first_byte is None else round((self.first_byte - self.started) * 1000),
            total_ms=round((now - self.started) * 1000),
        )

    def _checked(self, attempt: Attempt) -> Checked:
        evidence = attempt.offer.evidence(self.quote, attempt.content_bytes, attempt.content_events)
        return check_usage(attempt.usage, evidence)

    def _cost(self, attempt: Attempt, checked: Checked) -> int:
        """What an attempt is booked with. One that broke off may go on at the provider, and cost all that was held.

        Nobody knows how much there was of an answer in one piece that never came, and providers do not stop making it
        when their client leaves: https://openrouter.ai/docs/api-reference/streaming (2026-08-22).
        """
        prices = attempt.offer.target.prices
        if prices is None:
            return 0
        used = cost(prices, checked.tokens)
        all_seen = attempt.whole or (self.streamed and attempt.cancel_stops_billing)
        return max(used, attempt.offer.cost_nanousd or 0) if checked.estimated and not all_seen else used


def _sum(each: list[Tokens]) -> Tokens:
    match each:
        case []:
            return Tokens()
        case [one]:
            return one
        case _:
            return Tokens(
                input=sum(tokens.input for tokens in each),
                cache_read=sum(tokens.cache_read for tokens in each),
                cache_write=sum(tokens.cache_write for tokens in each),
                output=sum(tokens.output for tokens in each),
                reasoning=sum(tokens.reasoning for tokens in each),
                image=sum(tokens.image for tokens in each),
                audio=sum(tokens.audio for tokens in each),
            )


def outcome_of(error: BaseException) -> Outcome:
    """By whose doing a request ended with `error`."""
    match error:
        case ClientLeft() | asyncio.CancelledError():
            return Outcome.CANCELLED
        case CallerError() | LimitError() | UpstreamRejected():
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

    __slots__ = ("_account", "_background", "_gateway", "admission")

    def __init__(
        self, admission: Admission, account: Account, gateway: Gateway, background: Background
    ) -> None:
        self.admission = admission
        self._account = account
        self._gateway = gateway
        self._background = background

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._account.outcome = outcome_of(error)
        gateway = self._gateway
        record = self._account.settled = self._account.record(self.admission, gateway.clock.monotonic())
        self._background.run(settle(gateway.meter, gateway.dead_letters, self.admission, record))
