"""The D1 and KV adapters for who is outside."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from common.adapters.cloudflare.namespace import BoundNamespace, NamespaceFailed
from common.adapters.sql.d1 import D1Database
from common.adapters.sql.database import Statement
from common.model.errors import StorageUnavailable

Door: TypeAlias = Callable[[str], Awaitable[str]]
"""From what to do, as JSON, to the members of an answer."""


def database(binding: Any) -> Door:
    """To D1: statements."""
    opened = D1Database(binding)

    async def run(text: str) -> str:
        statements = [Statement(sql, tuple(values)) for sql, values in json.loads(text)]
        try:
            return f'"rows": {json.dumps(await opened.run(*statements))}'
        except (StorageUnavailable, ValueError) as error:
            return f'"error": {json.dumps(repr(error))}'

    return run


def namespace(binding: Any) -> Door:
    """To KV: a method of `Namespace`, its arguments, and those with names."""
    opened = BoundNamespace(binding)

    async def call(text: str) -> str:
        method, arguments, named = json.loads(text)
        try:
            return f'"value": {json.dumps(await getattr(opened, method)(*arguments, **named))}'
        except NamespaceFailed as error:
            return f'"error": {json.dumps(repr(error))}'

    return call
