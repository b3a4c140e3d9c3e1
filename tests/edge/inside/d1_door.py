"""The D1 adapter for who is outside."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from common.adapters.sql.d1 import D1Database
from common.adapters.sql.database import Statement
from common.model.errors import StorageUnavailable


def door(binding: Any) -> Callable[[str], Awaitable[str]]:
    """From statements as JSON to the members of an answer."""
    database = D1Database(binding)

    async def run(text: str) -> str:
        statements = [Statement(sql, tuple(values)) for sql, values in json.loads(text)]
        try:
            return f'"rows": {json.dumps(await database.run(*statements))}'
        except (StorageUnavailable, ValueError) as error:
            return f'"error": {json.dumps(repr(error))}'

    return run
