"""Stores in plain dictionaries: the oracle that every other adapter is tested against, and the tests' own double."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from common.metering.apply import apply
from common.metering.rows import PAGE, Change, Outcome, Page, Records
from common.metering.standing import EMPTY, Standing
from common.metering.sums import Summing, in_order
from common.model.errors import StorageUnavailable
from common.model.ids import KeyId, RequestId, UserId
from common.model.principal import KeyRecord, UserRecord
from common.model.usage import Provisional, UsageRecord
from common.model.usage_query import Booking, UsageQuery, UsageSum
from common.ports import BREAKER_KEPT_S, Clock


class MemoryKeyStore:
    """A `KeyStore`."""

    def __init__(self) -> None:
        self._by_id: dict[KeyId, KeyRecord] = {}

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        """See `KeyStore.find`."""
        found = (each for each in self._by_id.values() if key_hash in {each.key_hash, each.previous_hash})
        return next(found, None)

    async def get(self, key_id: KeyId) -> KeyRecord | None:
        """See `KeyStore.get`."""
        return self._by_id.get(key_id)

    async def create(self, record: KeyRecord) -> None:
        """See `KeyStore.create`."""
        if record.id in self._by_id or any(each.key_hash == record.key_hash for each in self._by_id.values()):
            raise ValueError(f"a key with the id {record.id} or the same hash exists")
        self._by_id[record.id] = record

    async def list(self, user: UserId | None = None) -> Sequence[KeyRecord]:
        """See `KeyStore.list`."""
        records = [record for record in self._by_id.values() if user is None or record.user == user]
        return sorted(records, key=lambda record: (record.created_ms, record.id))

    async def update(self, record: KeyRecord) -> bool:
        """See `KeyStore.update`."""
        stored = self._by_id.get(record.id)
        if stored is None or stored.version != record.version:
            return False
        self._by_id[record.id] = replace(record, last_used_ms=stored.last_used_ms, version=record.version + 1)
        return True

    async def note_use(self, key_id: KeyId, at_ms: int) -> None:
        """See `KeyStore.note_use`."""
        stored = self._by_id.get(key_id)
        if stored is not None and (stored.last_used_ms is None or stored.last_used_ms < at_ms):
            self._by_id[key_id] = replace(stored, last_used_ms=at_ms)

    async def delete(self, key_id: KeyId) -> bool:
        """See `KeyStore.delete`."""
        return self._by_id.pop(key_id, None) is not None


class MemoryUserStore:
    """A `UserStore`."""

    def __init__(self) -> None:
        self._by_id: dict[UserId, UserRecord] = {}

    async def find(self, user: UserId) -> UserRecord | None:
        """See `UserStore.find`."""
        return self._by_id.get(user)

    async def put(self, record: UserRecord) -> bool:
        """See `UserStore.put`."""
        stored = self._by_id.get(record.id)
        if record.version != (0 if stored is None else stored.version):
            return False
        self._by_id[record.id] = replace(record, version=record.version + 1)
        return True

    async def list(self) -> Sequence[UserRecord]:
        """See `UserStore.list`."""
        return sorted(self._by_id.values(), key=lambda record: record.id)


class MemoryDeadLetters:
    """`DeadLetters`, and their `LetterBox`."""

    def __init__(self) -> None:
        self.records: list[UsageRecord] = []

    async def put(self, record: UsageRecord) -> None:
        """See `DeadLetters.put`."""
        self.records.append(record)

    async def deliver(self, settle: Callable[[UsageRecord], Awaitable[None]]) -> tuple[int, int]:
        """See `LetterBox.deliver`."""
        taken = 0
        for record in list(self.records):
            with suppress(StorageUnavailable):
                await settle(record)
                self.records.remove(record)
                taken += 1
        return taken, len(self.records)


class MemoryBreakerStore:
    """A `BreakerStore`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._published: dict[str, tuple[int, str]] = {}

    async def read(self, names: Sequence[str]) -> Mapping[str, str]:
        """See `BreakerStore.read`."""
        oldest = self._clock.now_ms() - BREAKER_KEPT_S * 1000
        found = {name: self._published[name] for name in names if name in self._published}
        return {name: state for name, (at_ms, state) in found.items() if at_ms > oldest}

    async def publish(self, name: str, state: str) -> None:
        """See `BreakerStore.publish`."""
        self._published[name] = (self._clock.now_ms(), state)


class MemoryRows:
    """The meter's `Rows`, and the `UsageStore` of the records beside them."""

    def __init__(self) -> None:
        self.standings: dict[str, Standing] = {}
        self.records: dict[RequestId, UsageRecord] = {}

    async def read(self, rows: Sequence[str]) -> Sequence[Standing]:
        """See `Rows.read`."""
        return [self.standings.get(row, EMPTY) for row in rows]

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """See `Rows.apply`."""
        before = await self.read([change.row for change in changes])
        after = [apply(standing, change.plan) for standing, change in zip(before, changes, strict=True)]
        done = [standing for standing in after if standing is not None]
        if len(done) < len(changes) or not self._may_correct(records):
            return Outcome(applied=False, standings=before)
        self.standings |= {change.row: standing for change, standing in zip(changes, done, strict=True)}
        if records.settled is not None:
            self._settle(records.settled, records.corrects or Provisional.ABANDONED)
        for record in records.abandoned:
            known = self.records.setdefault(record.request_id, record)
            self.records[record.request_id] = replace(
                known, key_id=known.key_id or record.key_id, user=known.user or record.user
            )
        return Outcome(applied=True, standings=done)

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `UsageStore.find`."""
        return self.records.get(request_id)

    async def awaiting(self, after: str = "") -> Sequence[UsageRecord]:
        """See `Rows.awaiting`."""
        found = [each for id_, each in self.records.items() if id_ > after and each.awaiting is not None]
        return sorted(found, key=lambda record: record.request_id)[:PAGE]

    async def expired(self, now_ms: int, after: str = "") -> Page:
        """See `Rows.expired`."""
        found = [row for row in self.standings.items() if row[0] > after and row[1].expired(now_ms)]
        return sorted(found, key=lambda row: row[0])[:PAGE]

    async def page(self, after: str = "") -> Page:
        """See `RowList.page`."""
        found = [row for row in self.standings.items() if row[0] > after]
        return sorted(found, key=lambda row: row[0])[:PAGE]

    async def sums(self, query: UsageQuery) -> Sequence[UsageSum]:
        """See `UsageStore.sums`."""
        summing = Summing(query)
        summing.add(self.records.values())
        return in_order(summing.result())

    async def bookings(self) -> AsyncIterator[Booking]:
        """See `UsageStore.bookings`."""
        for request_id, record in sorted(self.records.items()):
            yield Booking(request_id, record.key_id, record.user, record.sub_window, record.cost_nanousd)

    def _settle(self, record: UsageRecord, replaces: Provisional) -> None:
        known = self.records.get(record.request_id)
        if known is None or known.provisional is replaces:
            self.records[record.request_id] = record

    def _may_correct(self, records: Records) -> bool:
        if records.settled is None or records.corrects is None:
            return True
        known = self.records.get(records.settled.request_id)
        return known is not None and known.provisional is records.corrects
