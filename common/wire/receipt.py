"""The receipt of one request: its usage record as JSON, with all that is needed to compute its cost again.

Money and prices are exact decimals of US dollars in strings: a JSON number is a double to most who read it. By `usage`
and `estimate`, the cost of an attempt is `prices.request` and the sum of the other prices (per million tokens) times
`tokens`, rounded up to nine places once; by `hold` all that was held for it, by `nothing` zero. The cost of the request
is the sum of its attempts' costs.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from common.model.money import usd
from common.model.price import usd_per_million_text, usd_text
from common.model.usage import AttemptRecord, Booked, Outcome, Provisional, Tokens, UsageRecord

_SHAPE = ConfigDict(defer_build=True)


class ReceiptTokens(BaseModel):
    """Tokens in classes that do not overlap, and all of them."""

    model_config = _SHAPE

    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int
    image: int
    audio: int
    total: int

    @classmethod
    def of(cls, tokens: Tokens) -> Self:
        """The same in JSON."""
        return cls(**tokens._asdict(), total=tokens.total)


class ReceiptPrices(BaseModel):
    """US dollars per million tokens of each class, and per request."""

    model_config = _SHAPE

    input: str
    cache_read: str
    cache_write: str
    output: str
    reasoning: str
    image: str
    audio: str
    request: str

    @classmethod
    def of(cls, prices: Tokens, request: int) -> Self:
        """The same in JSON."""
        each = {name: usd_per_million_text(price) for name, price in prices._asdict().items()}
        return cls(**each, request=usd_text(request))


class ReceiptAttempt(BaseModel):
    """One exchange with a provider. Without prices, nobody said what it costs."""

    model_config = _SHAPE

    provider: str
    model: str
    ended: str
    took_ms: int
    booked: Booked
    tokens: ReceiptTokens
    prices: ReceiptPrices | None
    cost: str
    provider_request_id: str | None
    gateway_log_id: str | None

    @classmethod
    def of(cls, attempt: AttemptRecord) -> Self:
        """The same in JSON."""
        prices = attempt.prices
        return cls(
            provider=attempt.provider,
            model=attempt.model,
            ended=attempt.ended,
            took_ms=attempt.took_ms,
            booked=attempt.booked,
            tokens=ReceiptTokens.of(attempt.tokens),
            prices=None if prices is None else ReceiptPrices.of(prices, attempt.request_price),
            cost=usd(attempt.cost_nanousd),
            provider_request_id=attempt.provider_request_id,
            gateway_log_id=attempt.gateway_log_id,
        )


class ReceiptLatency(BaseModel):
    """Milliseconds: `total` is the sum of `gateway`, `storage` and `upstream`, but for rounding. Null: not known."""

    model_config = _SHAPE

    total: int
    first_byte: int | None
    gateway: float | None
    storage: float | None
    upstream: int | None

    @classmethod
    def of(cls, record: UsageRecord) -> Self:
        """The same in JSON."""
        own_us = None
        if record.gateway_us is not None and record.storage_us is not None:
            own_us = max(0, record.gateway_us - record.storage_us)
        is_known = bool(record.route) or record.gateway_us is not None
        return cls(
            total=record.total_ms,
            first_byte=record.first_byte_ms,
            gateway=None if own_us is None else own_us / 1000,
            storage=None if record.storage_us is None else record.storage_us / 1000,
            upstream=sum(attempt.took_ms for attempt in record.route) if is_known else None,
        )


class Receipt(BaseModel):
    """One request. `provisional`: a later receipt may say something else, and why; null: this one stays."""

    model_config = _SHAPE

    object: Literal["usage.receipt"] = "usage.receipt"
    id: str
    api_key_id: str
    user_id: str
    model: str
    outcome: Outcome
    streamed: bool
    started_ms: int
    tokens: ReceiptTokens
    cost: str
    estimated: bool
    held: str
    held_tokens: int
    overrun: str
    provider_cost: str | None
    provisional: Provisional | None
    attempts: list[ReceiptAttempt]
    latency_ms: ReceiptLatency
    session_id: str | None
    trace_id: str | None
    end_user: str | None

    @classmethod
    def of(cls, record: UsageRecord) -> Self:
        """The same in JSON."""
        told = record.provider_cost_nanousd
        return cls(
            id=record.request_id,
            api_key_id=record.key_id,
            user_id=record.user,
            model=record.model,
            outcome=record.outcome,
            streamed=record.streamed,
            started_ms=record.started_ms,
            tokens=ReceiptTokens.of(record.tokens),
            cost=usd(record.cost_nanousd),
            estimated=record.estimated,
            held=usd(record.held_nanousd),
            held_tokens=record.held_tokens,
            overrun=usd(record.overrun_nanousd),
            provider_cost=None if told is None else usd(told),
            provisional=record.provisional,
            attempts=[ReceiptAttempt.of(attempt) for attempt in record.route],
            latency_ms=ReceiptLatency.of(record),
            session_id=record.session_id,
            trace_id=record.trace_id,
            end_user=record.end_user,
        )
