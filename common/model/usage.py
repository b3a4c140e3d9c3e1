"""What one request used, and how it ended: the facts that metering keeps."""

from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One request, as it is settled: exactly one exists for each admitted request, whatever its ending."""

    request_id: RequestId
    key_id: KeyId
    user: UserId
    model: str  # as the client asked
    provider: str  # empty where no attempt was made
    upstream_model: str
    outcome: Outcome
    streamed: bool
    attempts: int
    usage: Usage
    estimated: bool  # the upstream gave no usage; the tokens are estimated from bytes
    started_ms: int
    first_byte_ms: int | None  # from the start to the first byte for the client
    total_ms: int
