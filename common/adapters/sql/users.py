"""`UserStore` in SQL."""

from collections.abc import Sequence
from typing import Any, Final

from common.adapters.sql.database import Database, Statement
from common.adapters.sql.limits import from_column, to_column
from common.model.ids import UserId
from common.model.principal import UserRecord

_FIND: Final = "SELECT id, created_ms, plan, limits FROM users WHERE id = ?1"
_LIST: Final = "SELECT id, created_ms, plan, limits FROM users ORDER BY id"
_PUT: Final = """
INSERT INTO users (id, created_ms, plan, limits) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (id) DO UPDATE SET created_ms = excluded.created_ms, plan = excluded.plan, limits = excluded.limits
"""


class SqlUserStore:
    """A `UserStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, user: UserId) -> UserRecord | None:
        """See `UserStore.find`."""
        (rows,) = await self._database.run(Statement(_FIND, (user,)))
        return _record(rows[0]) if rows else None

    async def put(self, record: UserRecord) -> None:
        """See `UserStore.put`."""
        values = (record.id, record.created_ms, record.plan, to_column(record.overrides))
        await self._database.run(Statement(_PUT, values))

    async def list(self) -> Sequence[UserRecord]:
        """See `UserStore.list`."""
        (rows,) = await self._database.run(Statement(_LIST))
        return [_record(row) for row in rows]


def _record(row: tuple[Any, ...]) -> UserRecord:
    user, created_ms, plan, limits = row
    return UserRecord(user, created_ms, plan, from_column(limits))
