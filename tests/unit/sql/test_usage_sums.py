"""How sums of usage are read in SQL: by which index, so that it is known what they cost."""

import sqlite3
from dataclasses import replace
from typing import Final

import pytest

from common.adapters.sql.migrations import migrate, migrations
from common.adapters.sql.usage import sum_statement
from common.model.admission import HOLD_S
from common.model.ids import KeyId, UserId
from common.model.usage_query import LONGEST_HOLD_S, GroupBy, UsageQuery

DAY_MS: Final = 86_400_000
ALL: Final = UsageQuery(
    start_ms=20_000 * DAY_MS, end_ms=20_001 * DAY_MS, width_ms=DAY_MS, group_by=frozenset(GroupBy)
)
KEY: Final = replace(ALL, users=frozenset({UserId("ada")}), keys=frozenset({KeyId("key_1")}))


@pytest.mark.parametrize(
    ("query", "plan"),
    [
        (ALL, "SEARCH usage USING PRIMARY KEY (request_id>? AND request_id<?)"),
        (
            replace(ALL, models=frozenset({"fast"})),
            "SEARCH usage USING PRIMARY KEY (request_id>? AND request_id<?)",
        ),
        (
            KEY,
            "SEARCH usage USING INDEX usage_by_key (user=? AND key_id=? AND started_ms>? AND started_ms<?)",
        ),
    ],
    ids=["all", "a model", "a key"],
)
def test_index(query: UsageQuery, plan: str) -> None:
    """A key's usage is read from its records, and all usage from the records of its time: no table is scanned."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, migrations())
    statement = sum_statement(query)
    found = connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters).fetchall()
    connection.close()
    assert plan in {row[-1] for row in found}


def test_text_has_no_names() -> None:
    """Whatever is asked for is a parameter: the text of the statement is the same."""
    other = replace(KEY, users=frozenset({UserId("'; DROP TABLE usage; --"), UserId("b")}))
    assert sum_statement(KEY).sql == sum_statement(other).sql


def test_holds_are_shorter_than_reading_relies_on() -> None:
    """A request's id tells its time to within the longest hold that reading knows of."""
    assert HOLD_S <= LONGEST_HOLD_S
