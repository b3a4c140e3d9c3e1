"""What a SQL store needs of its engine, and what every statement must keep to so that it runs on all of them.

- Parameters are numbered: `?1`, at most 100. A number is bound as a double on D1: where it is not stored in a column of
  INTEGER affinity but computed with, write `CAST(?1 AS INTEGER)`.
- No transaction of its own (`BEGIN`, `COMMIT`): a batch is one.
- Nothing fails on purpose: a conflict is `ON CONFLICT` and shows in what `RETURNING` gives back. A statement that does
  fail is a fault of the storage, or of ours.
- A statement that only reads begins with `SELECT`: an engine may have a faster way for those.
- What it gives back are columns with a name each, no name twice: D1 gives rows as objects.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

Value: TypeAlias = str | int | None
"""What can be bound and read back everywhere. Integers within ±(2^53 - 1): D1 refuses or rounds larger ones."""

Rows: TypeAlias = Sequence[tuple[Any, ...]]
"""Of one statement: each row's `Value`s in the order of its columns."""


class Statement(NamedTuple):
    """One statement of SQL and what to bind to its parameters."""

    sql: str
    parameters: tuple[Value, ...] = ()


class Database(Protocol):
    """An engine with the migrations of `infra/sql` applied. Safe to share between requests."""

    async def run(self, *statements: Statement) -> Sequence[Rows]:
        """Run them in order as one atomic batch, and give each statement's rows.

        All take effect or none does. What is acknowledged survives a crash, and later reads see it. Cancelling the
        caller leaves the batch as it is: it may still take effect.

        Raises:
            StorageUnavailable: the engine failed, or a statement did; nothing has taken effect as far as is known.
        """
