"""Stores in plain dictionaries: the oracle that every other adapter is tested against, and the tests' own double."""

from collections.abc import Sequence
from dataclasses import replace

from common.metering.apply import apply
from common.metering.rows import Change, Outcome, Records
from common.metering.standing import EMPTY, Standing
from common.model.ids import KeyId, RequestId, UserId
from common.model.principal import KeyRecord, UserRecord
from common.model.usage import UsageRecord


class MemoryKeyStore:
    """A `KeyStore`."""

    def __init__(self) -> None:
        self._by_id: dict[KeyId, KeyRecord] = {}

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        """See `KeyStore.find`."""
        return next((record for record in self._by_id.values() if record.key_hash == key_hash), None)

    async def create(self, record: KeyRecord) -> None:
        """See `KeyStore.create`."""
        if record.id in self._by_id or await self.find(record.key_hash) is not None:
            raise ValueError(f"a key with the id {record.id} or the same hash exists")
        self._by_id[record.id] = record

    async def list(self, user: UserId | None = None) -> Sequence[KeyRecord]:
        """See `KeyStore.list`."""
        records = [record for record in self._by_id.values() if user is None or record.user == user]
        return sorted(records, key=lambda record: (record.created_ms, record.id))

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

    async def put(self, record: UserRecord) -> None:
        """See `UserStore.put`."""
        self._by_id[record.id] = record

    async def list(self) -> Sequence[UserRecord]:
        """See `UserStore.list`."""
        return sorted(self._by_id.values(), key=lambda record: record.id)


class MemoryDeadLetters:
    """`DeadLetters`."""

    def __init__(self) -> None:
        self.records: list[UsageRecord] = []

    async def put(self, record: UsageRecord) -> None:
        """See `DeadLetters.put`."""
        self.records.append(record)


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
        if len(done) < len(changes) or (records.corrects and not self._is_abandoned(records.settled)):
            return Outcome(applied=False, standings=before)
        self.standings |= {change.row: standing for change, standing in zip(changes, done, strict=True)}
        if records.settled is not None:
            self._settle(records.settled)
        for record in records.abandoned:
            known = self.records.setdefault(record.request_id, record)
            if not known.key_id:
                self.records[record.request_id] = replace(known, key_id=record.key_id)
        return Outcome(applied=True, standings=done)

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `UsageStore.find`."""
        return self.records.get(request_id)

    def _settle(self, record: UsageRecord) -> None:
        if record.request_id not in self.records or self._is_abandoned(record):
            self.records[record.request_id] = record

    def _is_abandoned(self, record: UsageRecord | None) -> bool:
        known = self.records.get(record.request_id) if record is not None else None
        return known is not None and known.abandoned
