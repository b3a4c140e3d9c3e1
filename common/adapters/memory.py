"""Stores in plain dictionaries: the oracle that every other adapter is tested against, and the tests' own double."""

from collections.abc import Sequence

from common.model.admission import Ask, Hold
from common.model.ids import KeyId, RequestId, UserId
from common.model.principal import KeyRecord
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


class MemoryMeter:
    """A `Meter` and the `UsageStore` of what it settled."""

    def __init__(self) -> None:
        self._records: dict[RequestId, UsageRecord] = {}

    async def admit(self, ask: Ask) -> Hold:
        """See `Meter.admit`."""
        return Hold(ask)

    async def settle(self, hold: Hold, record: UsageRecord) -> None:
        """See `Meter.settle`."""
        self._records.setdefault(hold.ask.request_id, record)

    async def find(self, request_id: RequestId) -> UsageRecord | None:
        """See `UsageStore.find`."""
        return self._records.get(request_id)
