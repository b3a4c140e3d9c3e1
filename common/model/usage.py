"""What one request used, and how it ended: the facts that metering keeps."""

from enum import IntFlag, StrEnum
from typing import NamedTuple

from common.model.ids import KeyId, RequestId, UserId
from common.model.record import record


class Outcome(StrEnum):
    """How a request ended, by whose doing. Availability counts `UPSTREAM` and `GATEWAY` only."""

    OK = "ok"
    CLIENT = "client"  # the request was wrong
    LIMIT = "limit"  # a limit of the key or its user refused it; nothing was admitted, so there is no record
    UPSTREAM = "upstream"
    GATEWAY = "gateway"
    CANCELLED = "cancelled"  # the client left


class Tokens(NamedTuple):
    """Tokens in disjoint classes: none is counted in two, and their sum is all that was read and written."""

    input: int = 0  # read anew, as text
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0  # visible
    reasoning: int = 0
    image: int = 0  # input
    audio: int = 0  # input and output

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


class Provisional(StrEnum):
    """Why what is booked is only a bound. The record that knows more replaces such a one, once."""

    ABANDONED = (
        "abandoned"  # its hold expired before anybody settled it: a settlement that comes late replaces it
    )
    AWAITING = "awaiting"  # nobody saw all that the provider charges: its own figures replace it


class CountedIn(IntFlag):
    """Which of the meter's rows count a request; 0: none, as it had no limits."""

    KEY = 1
    USER = 2


class Booked(StrEnum):
    """By what an attempt is booked."""

    NOTHING = "nothing"  # the provider certainly did not begin to work on it: it costs nothing
    USAGE = "usage"  # its tokens, as the provider counted them
    ESTIMATE = "estimate"  # its tokens, as the gateway estimates them
    HOLD = "hold"  # all that was held for it, as it may have gone on unseen; its tokens are an estimate


class Bounds(NamedTuple):
    """The most tokens of each side that were held for an attempt."""

    input: int
    output: int  # of all choices


@record(kw_only=True)
class AttemptRecord:
    """One exchange with one candidate, as it is settled.

    By `USAGE` and by `ESTIMATE` its cost is `request_price` and the sum of `prices` x `tokens`, in pico-dollars,
    rounded up to nano-dollars once; `metering/price.py` computes it. Without `prices` nobody said what it costs, and
    it is booked with 0.
    """

    provider: str
    model: str  # as the provider knows it
    ended: str  # `ok`, or a short code of what went wrong
    took_ms: int  # from asking to the end of the answer
    booked: Booked
    tokens: Tokens
    cost_nanousd: int
    prices: Tokens | None  # pico-dollars per token of each class
    request_price: int  # pico-dollars
    provider_request_id: str | None  # the provider's own id of what it generated, as in its answer
    awaits: Bounds | None = None  # the provider can still say what it used, which is checked against these
    gateway_log_id: str | None = None  # in the log of another gateway on the way, Cloudflare's for one


@record(kw_only=True)
class UsageRecord:
    """One request, as it is settled: exactly one exists for each admitted request, whatever its ending.

    Money is integer nano-dollars. `abandoned`: nobody settled it before its hold expired; what was held is booked as
    spent. `awaiting`: an attempt of its route `awaits` what its provider says; an abandoned record, which knows of no
    attempt, never does. See `provisional`. What has a default was not known to the first version of this record, and is
    not known of abandoned ones.

    Where `route` is known, its tokens and its costs add up to those of the record. The time that passed is `total_ms`:
    waiting for providers, which is the sum of the route's `took_ms`, and `gateway_us`.
    """

    request_id: RequestId
    key_id: KeyId  # empty in an abandoned record that a user's row left
    user: UserId  # empty in an abandoned record of a deleted key
    model: str  # as the client asked
    provider: str  # empty where no attempt was made
    upstream_model: str
    outcome: Outcome
    streamed: bool
    attempts: int
    tokens: Tokens
    estimated: bool  # the upstream gave no usage that can be true
    cost_nanousd: int
    provider_cost_nanousd: int | None  # what the provider says that it charges
    held_nanousd: int
    held_tokens: int
    sub_window: int  # of the meter, in which the request is booked; tells its periods
    abandoned: bool
    started_ms: int
    first_byte_ms: int | None  # from the start to the first byte for the client
    total_ms: int  # from the request's being read and understood to the end of its answer
    gateway_us: int | None = None  # of it, microseconds that no provider took: our own work, and storage
    storage_us: int | None = None  # of those, waiting for the meter: to admit the request, to extend its hold
    route: tuple[AttemptRecord, ...] = ()  # the attempts, in order
    session_id: str | None = None  # the client's own name for what the request is part of
    trace_id: str | None = None  # of W3C's trace context, 32 hexadecimal digits
    end_user: str | None = None  # a keyed hash of whom the client's request was for, 32 hexadecimal digits
    awaiting: CountedIn | None = (
        None  # the rows to correct when its providers say what they charge; None: it awaits nothing
    )

    @property
    def provisional(self) -> Provisional | None:
        """Whether another record may replace it, and which; None: it stays."""
        if self.abandoned:
            return Provisional.ABANDONED
        return None if self.awaiting is None else Provisional.AWAITING

    @property
    def provider_request_id(self) -> str | None:
        """The last attempt's, which is the answer's."""
        return self.route[-1].provider_request_id if self.route else None

    @property
    def overrun_nanousd(self) -> int:
        """What it cost beyond what was held."""
        return max(0, self.cost_nanousd - self.held_nanousd)
