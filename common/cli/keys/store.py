"""What the commands on keys share: the store, and how a key is written down."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from common.cli.output import Failed
from common.model.errors import StorageUnavailable
from common.model.principal import KeyRecord
from common.ports import KeyStore
from common.targets.local import open_keys

_T = TypeVar("_T")


def with_keys(data: Path, act: Callable[[KeyStore], Awaitable[_T]]) -> _T:
    """What `act` returns, given the keys in the folder `data`."""

    async def run() -> _T:
        async with open_keys(data) as keys:
            return await act(keys)

    try:
        return asyncio.run(run())
    except StorageUnavailable as error:
        raise Failed(error.message) from None


def as_members(record: KeyRecord) -> dict[str, Any]:
    """The members of a key in JSON."""
    return {
        "id": record.id,
        "user": record.user,
        "name": record.name,
        "permissions": sorted(record.permissions),
        "created_ms": record.created_ms,
    }
