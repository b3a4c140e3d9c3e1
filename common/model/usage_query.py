"""What is asked about the usage of many requests, and the sums that answer it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from common.model.ids import KeyId, RequestId, UserId, first_id
from common.model.usage import Outcome, Tokens

ALL_TIME: Final = 2**52  # as the width of a bucket: there is one
MOST_SUMS: Final = 10_000  # in one answer
FAILED: Final = frozenset({Outcome.UPSTREAM, Outcome.GATEWAY})  # what availability counts
LONGEST_HOLD_S: Final = 86_400  # no hold is made to last longer
_SKEW_S: Final = 60  # by which the clocks of two processes differ at most


class GroupBy(StrEnum):
    """What sums are told apart by, in OpenAI's words."""

    MODEL = "model"
    KEY = "api_key_id"
    USER = "user_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Requests that started at `start_ms` or later and before `end_ms`, in buckets that begin at multiples of a width.

    Of `keys`, `users` and `models` (as the client asked for them); None: of all.
    """

    start_ms: int
    end_ms: int
    width_ms: int
    group_by: frozenset[GroupBy] = frozenset()
    keys: frozenset[KeyId] | None = None
    users: frozenset[UserId] | None = None
    models: frozenset[str] | None = None

    @property
    def ids(self) -> tuple[str, str]:
        """What the ids of such requests lie between: a hold expires after its request has started, and within a day."""
        first_s, last_s = self.start_ms // 1000, self.end_ms // 1000
        return first_id(first_s - _SKEW_S), first_id(last_s + LONGEST_HOLD_S + _SKEW_S)


class Group(NamedTuple):
    """What the requests of a sum have in common; None of what they are not grouped by."""

    model: str | None
    key_id: KeyId | None
    user: UserId | None


class Totals(NamedTuple):
    """Of some requests."""

    requests: int
    tokens: Tokens
    cost_nanousd: int
    estimated: int  # requests whose provider gave no usage that can be true
    failed: int  # requests that ended by the provider's doing, or the gateway's


class UsageSum(NamedTuple):
    """The requests of one group in one bucket."""

    bucket_ms: int  # when it begins
    group: Group
    totals: Totals


class Booking(NamedTuple):
    """What a request is booked with, and where."""

    request_id: RequestId
    key_id: KeyId
    user: UserId
    sub_window: int  # of the meter
    cost_nanousd: int
