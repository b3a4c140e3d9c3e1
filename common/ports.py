"""Every interface that a target provides, on one page.

Promises stand here; an adapter says only how it keeps them. One suite per port in `tests/contract/` holds every adapter
to its promises. Stores raise `StorageUnavailable` for every failure of the storage itself, after their own retries
(within one second); they are safe to share between requests.
"""

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from common.model.admission import Admission, Ask
from common.model.ids import KeyId, RequestId, UserId
from common.model.principal import KeyRecord, UserRecord
from common.model.usage import UsageRecord


class Clock(Protocol):
    """The time. Wall time is for records and periods, monotonic time for durations."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""


class KeyStore(Protocol):
    """API keys by hash and by id."""

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        """The key whose SHA-256 is `key_hash`."""

    async def create(self, record: KeyRecord) -> None:
        """Store a new key. Its id and hash must be new: `ValueError` otherwise, and nothing is stored."""

    async def list(self, user: UserId | None = None) -> Sequence[KeyRecord]:
        """All keys, or one user's, oldest first."""

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

    async def settle(self, admission: Admission, record: UsageRecord) -> None:
        """Book what the request did use. Keyed by the request id: twice counts once, the first record stays.

        A record that was abandoned (its hold had expired) is replaced, once.
        """


class UserStore(Protocol):
    """Users who have limits of their own. A user without a record has none."""

    async def find(self, user: UserId) -> UserRecord | None:
        """The user's record."""

    async def put(self, record: UserRecord) -> None:
        """Store a user's record, in place of the one there was."""

    async def list(self) -> Sequence[UserRecord]:
        """All of them, by id."""


class DeadLetters(Protocol):
    """Where a usage record goes that the meter did not take. Settling is keyed, so a letter may be delivered twice."""

    async def put(self, record: UsageRecord) -> None:
        """Keep it for the operator to settle later. Never raises."""


class UsageStore(Protocol):
    """The read side of what `Meter.settle` wrote."""

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """The record of one request, once it is settled."""


class Background(Protocol):
    """Work that is done after the response and before the process may freeze or end."""

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Start `work`; its failure is logged, never raised. Cancelling the request does not touch it."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an upstream may take, in seconds."""

    connect_s: float
    first_byte_s: float  # from sending to status and headers
    idle_s: float  # between two reads of the body


@dataclass(frozen=True, slots=True)
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
    """One attempt at one HTTP exchange. It follows no redirect, keeps no cookie and asks for no compression."""

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        """Send; enter for status and headers. Leaving early closes the connection.

        Raises `UpstreamUnreachable` where nothing was sent, `UpstreamTimeout`, and `UpstreamBroken` where the answer
        is cut short or is not HTTP; while reading too.
        """
