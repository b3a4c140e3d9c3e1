"""Keys and users of a database from before their later columns."""

import sqlite3
from contextlib import closing
from pathlib import Path

from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.migrations import migrate, migrations
from common.adapters.sql.sqlite import open_sqlite
from common.adapters.sql.users import SqlUserStore
from common.model.ids import KeyId, UserId
from common.model.limits import Limit
from common.model.principal import KeyRecord, UserRecord

OLD = """
INSERT INTO keys (id, hash, user, name, permissions, plan, limits, created_ms)
VALUES ('key_old', '00ff', 'ada', 'laptop', '["chat"]', 'basic', '{"max_parallel":2}', 7)
"""


async def test_from_before(tmp_path: Path) -> None:
    """They are what they were: for everything, without an end, and at their first version."""
    with closing(sqlite3.connect(tmp_path / "sluice.db", isolation_level=None)) as connection:
        migrate(connection, migrations()[:1])
        connection.execute(OLD)
        connection.execute("INSERT INTO users (id, plan, limits, created_ms) VALUES ('ada', '', '{}', 3)")
    async with open_sqlite(tmp_path / "sluice.db") as database:
        keys, users = SqlKeyStore(database), SqlUserStore(database)
        old = KeyRecord(
            id=KeyId("key_old"),
            key_hash=b"\x00\xff",
            user=UserId("ada"),
            name="laptop",
            permissions=frozenset({"chat"}),
            created_ms=7,
            plan="basic",
            overrides={Limit.MAX_PARALLEL: 2},
        )
        assert list(await keys.list()) == [old]
        assert await keys.find(b"\x00\xff") == old
        assert await keys.update(old)
        assert await users.find(UserId("ada")) == UserRecord(UserId("ada"), 3, version=1)
        assert await users.put(UserRecord(UserId("ada"), 3, version=1))


def test_look_ups_read_no_table() -> None:
    """A key is found by its id, by either hash and by its user through an index: reading costs by the row on D1."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, migrations())
        for where in ("id = 'x'", "hash = 'x' OR previous_hash = 'x'", "user = 'x'"):
            plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT * FROM keys WHERE {where}").fetchall()
            assert not [row for row in plan if row[3].startswith("SCAN")], where
