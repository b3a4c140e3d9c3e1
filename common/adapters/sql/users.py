"""`UserStore` in SQL."""

from collections.abc import Sequence
from typing import Any, Final

from common.adapters.sql.database import Database, Statement
from common.adapters.sql.limits import from_column, to_column
from common.model.ids import UserId
from common.model.principal import UserRecord

_COLUMNS: Final = "id, version, created_ms, plan, limits"
_FIND: Final = f"SELECT {_COLUMNS} FROM users WHERE id = ?1"
_LIST: Final = f"SELECT {_COLUMNS} FROM users ORDER BY id"
_CREATE: Final = f"""\
INSERT INTO users ({_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT DO NOTHING
RETURNING id
"""
_UPDATE: Final = """\
UPDATE users SET version = ?2, created_ms = ?3, plan = ?4, limits = ?5
WHERE id = ?1 AND version = ?6
RETURNING id
"""


class SqlUserStore:
    """A `UserStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, user: UserId) -> UserRecord | None:
        """See `UserStore.find`."""
        (rows,) = await self._database.run(Statement(_FIND, (user,)))
        return _record(rows[0]) if rows else None

    async def put(self, record: UserRecord) -> bool:
        """See `UserStore.put`."""
        version = record.version + 1
        values = (record.id, version, record.created_ms, record.plan, to_column(record.overrides))
        statement = (
            Statement(_UPDATE, (*values, record.version)) if record.version else Statement(_CREATE, values)
        )
        (written,) = await self._database.run(statement)
        return bool(written)

    async def list(self) -> Sequence[UserRecord]:
        """See `UserStore.list`."""
        (rows,) = await self._database.run(Statement(_LIST))
        return [_record(row) for row in rows]


def _record(row: tuple[Any, ...]) -> UserRecord:
    user, version, created_ms, plan, limits = row
    return UserRecord(user, created_ms, plan, from_column(limits), version)
