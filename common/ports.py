"""Every interface that a target provides, on one page.

Promises stand here; an adapter says only how it keeps them. One suite per port in `tests/contract/` holds every adapter
to its promises. Stores raise `StorageUnavailable` for every failure of the storage itself, after their own retries
(within one second); they are safe to share between requests.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from common.model.admission import Admission, Ask
from common.model.ids import KeyId, RequestId, UserId
from common.model.limits import LimitStanding
from common.model.principal import KeyRecord, Principal, UserRecord
from common.model.record import record
from common.model.usage import UsageRecord
from common.model.usage_query import Booking, UsageQuery, UsageSum

BREAKER_KEPT_S: Final = 120  # longer than a breaker is open, and than KV takes to show it everywhere


class Clock(Protocol):
    """The time. Wall time is for records and periods, monotonic time for durations."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""


class KeyStore(Protocol):
    """API keys by hash and by id."""

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        """The key that has this hash, or had it before its last rotation: whether it is good is the caller's to see."""

    async def get(self, key_id: KeyId) -> KeyRecord | None:
        """The key with this id."""

    async def create(self, record: KeyRecord) -> None:
        """Store a new key. Its id and hash must be new: `ValueError` otherwise, and nothing is stored."""

    async def list(self, user: UserId | None = None) -> Sequence[KeyRecord]:
        """All keys, or one user's, oldest first. One that was made just now may be missing."""

    async def update(self, record: KeyRecord) -> bool:
        """Put `record` in place of the one with its id, at the next version; `last_used_ms` stays as it is stored.

        False, and nothing has changed, where the stored one has another version by now, or is gone.
        """

    async def note_use(self, key_id: KeyId, at_ms: int) -> None:
        """Note that the key was used then, unless a later use is noted. No new version; a key that is gone is none."""

    async def delete(self, key_id: KeyId) -> bool:
        """Remove the key; whether there was one."""


class Meter(Protocol):
    """The one door to an upstream: nothing is sent without a hold, no hold ends without being settled.

    `metering/` has the decisions and their proofs.
    """

    async def admit(self, ask: Ask) -> Admission:
        """Take what the request may use at most, atomically, from its key's limits and its user's; `LimitError`."""

    async def extend(self, admission: Admission, more_nanousd: int) -> Admission:
        """Hold more, for one more attempt while an earlier one may be billed. `LimitError`: nothing has changed."""

    async def withdraw(self, ask: Ask) -> None:
        """Undo the admission of a request that was certainly never sent, if it was admitted: nobody heard whether."""

    async def settle(self, admission: Admission, record: UsageRecord) -> None:
        """Book what the request did use. Keyed by the request id: twice counts once, the first record stays.

        A record that was abandoned (its hold had expired) is replaced, once.
        """

    async def standing(self, principal: Principal) -> Mapping[str, Sequence[LimitStanding]]:
        """How far the limits of its key and of its user are used, by the name of the row that counts for them."""


class UserStore(Protocol):
    """Users who have limits of their own. A user without a record has none."""

    async def find(self, user: UserId) -> UserRecord | None:
        """The user's record."""

    async def put(self, record: UserRecord) -> bool:
        """Put `record` in place of the one with its id, at the next version; version 0 is of a user who has none yet.

        False, and nothing has changed, where the stored one has another version by now.
        """

    async def list(self) -> Sequence[UserRecord]:
        """All of them, by id. One that was made just now may be missing."""


class DeadLetters(Protocol):
    """Where a usage record goes that the meter did not take. Settling is keyed, so a letter may be delivered twice."""

    async def put(self, record: UsageRecord) -> None:
        """Keep it, to be settled later. Never raises."""


class LetterBox(Protocol):
    """Dead letters that can be taken in again."""

    async def deliver(self, settle: Callable[[UsageRecord], Awaitable[None]]) -> tuple[int, int]:
        """Hand letters to `settle`, which raises where it can't take one: how many were taken, and how many are left.

        New ones may be put meanwhile, and others may deliver: no letter is lost.
        """


class UsageStore(Protocol):
    """The read side of what `Meter.settle` wrote."""

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """The record of one request, once it is settled."""

    async def sums(self, query: UsageQuery) -> Sequence[UsageSum]:
        """What the requests used, by bucket, then by model, key and user; a bucket or group without any has no sum.

        A record that was written just now may be missing. `InvalidRequest` where there are more sums than `MOST_SUMS`.
        """

    def bookings(self) -> AsyncIterator[Booking]:
        """Of all records that there are; those of one user in the order of their ids."""


class BreakerStore(Protocol):
    """What instances tell each other of their circuit breakers, cheaply and approximately. No client waits for it."""

    async def read(self, names: Sequence[str]) -> Mapping[str, str]:
        """The latest state of each that has one, published within `BREAKER_KEPT_S`.

        That of the last minute may be missing, or an older one in its place.
        """

    async def publish(self, name: str, state: str) -> None:
        """Put it in place of the one before, at most once a second for each name. What has too long a name is lost."""


class Background(Protocol):
    """Work that is done after the response and before the process may freeze or end."""

    def run(self, work: Coroutine[Any, Any, None], *, hurry: Callable[[], None] | None = None) -> None:
        """Start `work`; its failure is logged, never raised. Cancelling the request does not touch it.

        `hurry` is called when the time that is left for all such work is nearly over: to leave off what can be.
        """


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an upstream may take, in seconds."""

    connect_s: float
    first_byte_s: float  # from sending to status and headers, all of them
    idle_s: float  # between two reads of the body
    total_s: float = 900.0  # from sending to the end of the body; looked at while somebody waits for more


@record()
class UpstreamRequest:
    """One HTTP request to a provider. Header names are lower-case."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeouts: Timeouts

    def __repr__(self) -> str:
        """Without headers and body: they hold credentials and prompts."""
        return f"UpstreamRequest({self.method} {self.url}, {len(self.body)} bytes)"


class UpstreamResponse(Protocol):
    """An answer whose head is in and whose body is still coming."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name; of a repeated one any of its values."""

    async def read(self) -> bytes:
        """What has arrived next, as it arrived; `b""` at the end. Cancelling a read ends the exchange."""


class Upstream(Protocol):
    """One attempt at one HTTP exchange. It follows no redirect, keeps no cookie and asks for no compression.

    An answer that is compressed all the same says so in `content-encoding`; it may have been decompressed.
    """

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        """Send; enter for status and headers. Leaving early closes the connection.

        Raises `UpstreamUnreachable` where nothing was sent, `UpstreamTimeout`, and `UpstreamBroken` where the answer
        is cut short or is not HTTP; while reading too.
        """
