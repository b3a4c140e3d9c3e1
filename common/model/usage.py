"""What one request used, and how it ended: the facts that metering keeps."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from common.model.ids import KeyId, RequestId, UserId


class Outcome(StrEnum):
    """How a request ended, by whose doing. Availability counts `UPSTREAM` and `GATEWAY` only."""

    OK = "ok"
    CLIENT = "client"  # the request was wrong
    UPSTREAM = "upstream"
    GATEWAY = "gateway"
    CANCELLED = "cancelled"  # the client left


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer in disjoint classes: `input_tokens` are those that no provider's cache spared."""

    input_tokens: int
    cache_read_tokens: int
    output_tokens: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """One request, as it is settled: exactly one exists for each admitted request, whatever its ending.

    Money is integer nano-dollars. `abandoned`: nobody settled it before its hold expired; what was held is booked as
    spent, and a settlement that comes late replaces the record, once.
    """

    request_id: RequestId
    key_id: KeyId  # empty in an abandoned record that a user's row left
    user: UserId
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
    total_ms: int

    @property
    def overrun_nanousd(self) -> int:
        """What it cost beyond what was held."""
        return max(0, self.cost_nanousd - self.held_nanousd)
