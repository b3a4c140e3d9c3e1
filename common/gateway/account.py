"""What happens to one admitted request, kept as it happens, and the promise that it is settled."""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from common.gateway.draining import Draining
from common.gateway.gateway import Gateway
from common.gateway.outcome import outcome_of
from common.gateway.quote import Offer, Quote
from common.gateway.settlement import settle
from common.metering.price import cost
from common.metering.usage_check import Checked, check_usage
from common.model.admission import Admission
from common.model.errors import (
    SluiceError,
    UpstreamError,
)
from common.model.usage import AttemptRecord, Booked, Bounds, CountedIn, Outcome, Tokens, UsageRecord
from common.ports import Background
from common.wire.openai.errors import kind_of

MAX_ROUTE: Final = 32  # attempts that a record tells of, and all that are booked with something
_LONGEST_CODE: Final = 64
_TELLING_EVENTS: Final = 16  # of a stream, for its speed to mean something


@dataclass(slots=True)
class Attempt:
    """One candidate that was asked, and what came back."""

    offer: Offer
    cancel_stops_billing: bool  # closing the connection ends what the provider charges
    told_later: bool = False  # the provider can be asked afterwards what it charged
    sent: bool = True  # the provider may have begun to work on it
    error: str | None = None  # a code of what went wrong
    provider_request_id: str | None = None
    gateway_log_id: str | None = None
    usage: Mapping[str, object] | None = None  # as the provider said it
    provider_cost_nanousd: int | None = None
    content_bytes: int = 0
    content_events: int = 0
    whole: bool = False  # the answer came to its end
    asked: float = 0.0  # by the monotonic clock
    took_s: float = 0.0  # from asking to the end of the answer
    first_content_s: float | None = None  # of a stream, from asking

    @property
    def tokens_per_s(self) -> float | None:
        """How fast a stream came after its first content; None where it was too short to tell."""
        if self.first_content_s is None or self.content_events < _TELLING_EVENTS:
            return None
        return self.content_events / max(self.took_s - self.first_content_s, 0.001)

    @property
    def ended(self) -> str:
        """`ok`, a code of what went wrong, or that nobody waited for its end."""
        return self.error or ("ok" if self.whole else "cancelled")

    @property
    def asked_later(self) -> bool:
        """Whether the provider is to say afterwards what it charged: until then all that was held is booked."""
        return self.told_later and not self.whole and self.provider_request_id is not None

    def failed(self, error: SluiceError) -> None:
        """It ended with `error`."""
        self.error = (error.code or kind_of(error).code or "rejected")[:_LONGEST_CODE]
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
    storage_s: float = 0.0  # waiting for the meter
    paused_s: float = 0.0  # between two tries, for a provider's sake
    session_id: str | None = None
    trace_id: str | None = None
    end_user: str | None = None  # hashed
    dropped: tuple[str, ...] = ()  # fields of the request that the model which was asked last does not take
    settled: UsageRecord | None = None  # what is handed to the meter, once that is known

    def attempt(self, offer: Offer, *, cancel_stops_billing: bool, told_later: bool = False) -> Attempt:
        """A candidate is about to be asked."""
        self.attempts.append(Attempt(offer, cancel_stops_billing, told_later))
        return self.attempts[-1]

    @property
    def waited_s(self) -> float:
        """Seconds that were spent on providers, which are none of the gateway's own."""
        return self.paused_s + sum(attempt.took_s for attempt in self.attempts)

    def first_content(self, now: float) -> None:
        """The client gets content. Whatever comes after that is no answer of its own."""
        if self.first_byte is None:
            self.first_byte = now

    def record(self, admission: Admission, now: float) -> UsageRecord:
        """The usage record, `now` by the monotonic clock."""
        ask = admission.ask
        route: list[AttemptRecord] = []
        waited_s, cost_nanousd = self.paused_s, 0
        provider_cost_nanousd: int | None = None  # of those that say it, and are not asked later
        estimated = awaits = False
        for attempt in self.attempts:
            booked = self._booked(attempt)
            route.append(booked)
            waited_s += attempt.took_s
            cost_nanousd += booked.cost_nanousd
            estimated = estimated or booked.booked in UNTOLD
            if booked.awaits is not None:
                awaits = True
            elif attempt.provider_cost_nanousd is not None:
                provider_cost_nanousd = (provider_cost_nanousd or 0) + attempt.provider_cost_nanousd
        last = route[-1] if route else None
        return UsageRecord(
            request_id=ask.request_id,
            key_id=ask.principal.key_id,
            user=ask.principal.user,
            model=self.model,
            provider=last.provider if last else "",
            upstream_model=last.model if last else "",
            outcome=self.outcome,
            streamed=self.streamed,
            attempts=len(route),
            tokens=_sum(route),
            estimated=estimated,
            cost_nanousd=cost_nanousd,
            provider_cost_nanousd=provider_cost_nanousd,
            held_nanousd=admission.held_nanousd,
            held_tokens=ask.tokens,
            sub_window=admission.sub_window,
            abandoned=False,
            started_ms=ask.now_ms,
            first_byte_ms=None if self.first_byte is None else round((self.first_byte - self.started) * 1000),
            total_ms=round((now - self.started) * 1000),
            gateway_us=round(max(0.0, now - self.started - waited_s) * 1_000_000),
            storage_us=round(self.storage_s * 1_000_000),
            route=_told(route),
            session_id=self.session_id,
            trace_id=self.trace_id,
            end_user=self.end_user,
            awaiting=_counted_in(admission) if awaits else None,
        )

    def _booked(self, attempt: Attempt) -> AttemptRecord:
        target = attempt.offer.candidate.target
        prices = target.prices
        tokens, booked, cost_nanousd = Tokens(), Booked.NOTHING, 0
        awaits: Bounds | None = None
        if attempt.sent:
            evidence = attempt.offer.evidence(self.quote, attempt.content_bytes, attempt.content_events)
            checked = check_usage(attempt.usage, evidence)
            tokens = checked.tokens
            booked, cost_nanousd = self._cost(attempt, checked)
            if checked.estimated and attempt.asked_later:
                awaits = Bounds(evidence.input_bound, evidence.output_max)
        return AttemptRecord(
            provider=target.provider,
            model=target.model,
            ended=attempt.ended,
            took_ms=round(attempt.took_s * 1000),
            booked=booked,
            tokens=tokens,
            cost_nanousd=cost_nanousd,
            prices=None if prices is None else prices.each,
            request_price=0 if prices is None else prices.request,
            provider_request_id=attempt.provider_request_id,
            awaits=awaits,
            gateway_log_id=attempt.gateway_log_id,
        )

    def _cost(self, attempt: Attempt, checked: Checked) -> tuple[Booked, int]:
        """What an attempt is booked with. One that broke off may go on at the provider, and cost all that was held.

        Nobody knows how much there was of an answer in one piece that never came, and providers do not stop making it
        when their client leaves: https://openrouter.ai/docs/api-reference/streaming (2026-08-22).
        """
        prices, held = attempt.offer.target.prices, attempt.offer.cost_nanousd or 0
        used = 0 if prices is None else cost(prices, checked.tokens)
        if not checked.estimated:
            return Booked.USAGE, used
        all_seen = attempt.whole or (self.streamed and attempt.cancel_stops_billing)
        return (Booked.ESTIMATE, used) if all_seen or held <= used else (Booked.HOLD, held)


def _counted_in(admission: Admission) -> CountedIn:
    """The rows that a correction may change: those that hold the request, and no others, whatever is limited later."""
    principal = admission.ask.principal
    if not admission.booked:
        return CountedIn(0)
    key = CountedIn(0) if principal.key_limits.is_unlimited else CountedIn.KEY
    user = CountedIn(0) if principal.user_limits.is_unlimited else CountedIn.USER
    return key | user


UNTOLD: Final = (Booked.ESTIMATE, Booked.HOLD)  # by no usage that can be true


def _told(route: list[AttemptRecord]) -> tuple[AttemptRecord, ...]:
    """As much of a route as a record tells: the last attempt, and of those before rather what is booked."""
    if len(route) > MAX_ROUTE:
        *before, last = route
        route = [*(each for each in before if each.booked is not Booked.NOTHING), last]
    return tuple(route)


def _sum(route: list[AttemptRecord]) -> Tokens:
    if len(route) == 1:
        return route[0].tokens
    return Tokens(*map(sum, zip(*[each.tokens for each in route], strict=True)))


class Settling:
    """A synchronous context manager around everything that happens under a hold.

    However the block is left, settling is handed to the background, where no cancellation of the request reaches it.
    It awaits nothing itself: an exit that awaits can be struck by a second cancellation, and would then not settle.
    An answer that is read on without its client is settled after its end.
    """

    __slots__ = ("_account", "_background", "_draining", "_gateway", "admission")

    def __init__(
        self,
        admission: Admission,
        account: Account,
        gateway: Gateway,
        background: Background,
        draining: Draining | None = None,
    ) -> None:
        self.admission = admission
        self._draining = draining
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
        if self._draining is None or not self._draining.goes_on(self._settle):
            self._background.run(self._settle())
        sharing, now_ms = self._gateway.sharing, self._gateway.clock.now_ms
        if sharing is not None and sharing.due(now_ms()):
            self._background.run(sharing.share(now_ms()))

    def _settle(self) -> Coroutine[Any, Any, None]:
        gateway = self._gateway
        record = self._account.settled = self._account.record(self.admission, gateway.clock.monotonic())
        return settle(gateway.meter, gateway.dead_letters, self.admission, record)
