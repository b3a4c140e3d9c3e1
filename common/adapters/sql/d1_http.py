"""`Database` on D1 from outside, by Cloudflare's HTTP API: what commands of an operator work on.

A batch is one call of `/raw`, and one transaction. A call takes some hundred milliseconds, and an account has 1,200
calls in five minutes: https://developers.cloudflare.com/api/resources/d1/subresources/database/methods/raw (2026-11).
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from common.adapters.sql.d1 import D1, D1Failed
from common.adapters.sql.database import Rows, Statement
from common.model.errors import UpstreamError
from common.wire.cloudflare_api import ApiRefused, result_of

Post: TypeAlias = Callable[[bytes], Awaitable[tuple[int, bytes]]]
"""Posts JSON to a database's `/raw`; the status and the body of the answer."""


class HttpD1(D1):
    """By the HTTP API."""

    def __init__(self, post: Post) -> None:
        self._post = post

    async def _batch(self, statements: Sequence[Statement]) -> list[Rows]:
        batch = [{"sql": each.sql, "params": each.parameters} for each in statements]
        try:
            results = result_of(*await self._post(json.dumps({"batch": batch}).encode()))
        except ApiRefused as error:
            raise D1Failed(error.why) from error
        except UpstreamError as error:
            raise D1Failed(type(error).__name__) from error
        return [[tuple(row) for row in _rows(result)] for result in results]


def _rows(result: Any) -> Any:
    """A statement that gives nothing back may have no columns, or no results at all."""
    return (result.get("results") or {}).get("rows") or ()
