"""`KeyStore` in SQL."""

import json
from collections.abc import Sequence
from typing import Any, Final

from common.adapters.sql.database import Database, Statement, Value
from common.adapters.sql.limits import from_column, to_column
from common.model.ids import KeyId, UserId
from common.model.principal import KeyRecord

_CHANGING: Final = (
    *("hash", "previous_hash", "grace_until_ms", "user", "name", "permissions", "plan", "limits"),
    *("models", "origins", "expires_ms", "disabled", "created_ms"),
)  # in the order of `_values`
_COLUMNS: Final = ", ".join(("id", "version", *_CHANGING, "last_used_ms"))
_ORDER: Final = "ORDER BY created_ms, id"
_FIND: Final = f"SELECT {_COLUMNS} FROM keys WHERE hash = ?1 OR previous_hash = ?1"
_GET: Final = f"SELECT {_COLUMNS} FROM keys WHERE id = ?1"
_LIST: Final = f"SELECT {_COLUMNS} FROM keys {_ORDER}"
_LIST_OF_USER: Final = f"SELECT {_COLUMNS} FROM keys WHERE user = ?1 {_ORDER}"
_CREATE: Final = f"""\
INSERT INTO keys ({_COLUMNS}) VALUES ({", ".join(f"?{number}" for number in range(1, len(_CHANGING) + 4))})
ON CONFLICT DO NOTHING
RETURNING id
"""
_UPDATE: Final = f"""\
UPDATE keys SET version = version + 1, {", ".join(f"{name} = ?{at}" for at, name in enumerate(_CHANGING, 3))}
WHERE id = ?1 AND version = ?2
RETURNING id
"""
_NOTE_USE: Final = """\
UPDATE keys SET last_used_ms = ?2
WHERE id = ?1 AND (last_used_ms IS NULL OR last_used_ms < ?2)
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

    async def get(self, key_id: KeyId) -> KeyRecord | None:
        """See `KeyStore.get`."""
        (rows,) = await self._database.run(Statement(_GET, (key_id,)))
        return _record(rows[0]) if rows else None

    async def create(self, record: KeyRecord) -> None:
        """See `KeyStore.create`."""
        values = (record.id, record.version, *_values(record), record.last_used_ms)
        (created,) = await self._database.run(Statement(_CREATE, values))
        if not created:
            raise ValueError(f"a key with the id {record.id} or the same hash exists")

    async def list(self, user: UserId | None = None) -> Sequence[KeyRecord]:
        """See `KeyStore.list`."""
        asked = Statement(_LIST) if user is None else Statement(_LIST_OF_USER, (user,))
        (rows,) = await self._database.run(asked)
        return [_record(row) for row in rows]

    async def update(self, record: KeyRecord) -> bool:
        """See `KeyStore.update`."""
        values = (record.id, record.version, *_values(record))
        (updated,) = await self._database.run(Statement(_UPDATE, values))
        return bool(updated)

    async def note_use(self, key_id: KeyId, at_ms: int) -> None:
        """See `KeyStore.note_use`."""
        await self._database.run(Statement(_NOTE_USE, (key_id, at_ms)))

    async def delete(self, key_id: KeyId) -> bool:
        """See `KeyStore.delete`."""
        (deleted,) = await self._database.run(Statement(_DELETE, (key_id,)))
        return bool(deleted)


def _values(record: KeyRecord) -> tuple[Value, ...]:
    return (
        record.key_hash.hex(),
        None if record.previous_hash is None else record.previous_hash.hex(),
        record.grace_until_ms,
        record.user,
        record.name,
        json.dumps(sorted(record.permissions)),
        record.plan,
        to_column(record.overrides),
        json.dumps(record.models),
        json.dumps(record.origins),
        record.expires_ms,
        int(record.disabled),
        record.created_ms,
    )


def _record(row: tuple[Any, ...]) -> KeyRecord:
    key_id, version, key_hash, previous_hash, grace_until_ms, user, name, permissions, plan, limits = row[:10]
    models, origins, expires_ms, disabled, created_ms, last_used_ms = row[10:]
    return KeyRecord(
        id=key_id,
        key_hash=bytes.fromhex(key_hash),
        user=user,
        name=name,
        permissions=frozenset(json.loads(permissions)),
        created_ms=created_ms,
        plan=plan,
        overrides=from_column(limits),
        models=tuple(json.loads(models)),
        origins=tuple(json.loads(origins)),
        expires_ms=expires_ms,
        disabled=bool(disabled),
        previous_hash=None if previous_hash is None else bytes.fromhex(previous_hash),
        grace_until_ms=grace_until_ms,
        last_used_ms=last_used_ms,
        version=version,
    )
