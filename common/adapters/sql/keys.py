"""`KeyStore` in SQL."""

import json
from collections.abc import Sequence
from typing import Any, Final

from common.adapters.sql.database import Database, Statement
from common.adapters.sql.limits import from_column, to_column
from common.model.ids import KeyId, UserId
from common.model.principal import KeyRecord

_COLUMNS: Final = "id, hash, user, name, permissions, plan, limits, created_ms"
_FIND: Final = f"SELECT {_COLUMNS} FROM keys WHERE hash = ?1"
_LIST: Final = f"""\
SELECT {_COLUMNS} FROM keys
WHERE ?1 IS NULL OR user = ?1
ORDER BY created_ms, id
"""
_CREATE: Final = f"""\
INSERT INTO keys ({_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT DO NOTHING
RETURNING id
"""
_DELETE: Final = "DELETE FROM keys WHERE id = ?1 RETURNING id"


class SqlKeyStore:
    """A `KeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        """See `KeyStore.find`."""
        (rows,) = await self._database.run(Statement(_FIND, (key_hash.hex(),)))
        return _record(rows[0]) if rows else None

    async def create(self, record: KeyRecord) -> None:
        """See `KeyStore.create`."""
        values = (
            record.id,
            record.key_hash.hex(),
            record.user,
            record.name,
            json.dumps(sorted(record.permissions)),
            record.plan,
            to_column(record.overrides),
            record.created_ms,
        )
        (created,) = await self._database.run(Statement(_CREATE, values))
        if not created:
            raise ValueError(f"a key with the id {record.id} or the same hash exists")

    async def list(self, user: UserId | None = None) -> Sequence[KeyRecord]:
        """See `KeyStore.list`."""
        (rows,) = await self._database.run(Statement(_LIST, (user,)))
        return [_record(row) for row in rows]

    async def delete(self, key_id: KeyId) -> bool:
        """See `KeyStore.delete`."""
        (deleted,) = await self._database.run(Statement(_DELETE, (key_id,)))
        return bool(deleted)


def _record(row: tuple[Any, ...]) -> KeyRecord:
    key_id, key_hash, user, name, permissions, plan, limits, created_ms = row
    return KeyRecord(
        id=key_id,
        key_hash=bytes.fromhex(key_hash),
        user=user,
        name=name,
        permissions=frozenset(json.loads(permissions)),
        created_ms=created_ms,
        plan=plan,
        overrides=from_column(limits),
    )
