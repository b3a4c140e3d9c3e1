"""The stores that commands work on."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from common.cli.output import Failed
from common.model.errors import StorageUnavailable
from common.targets.local import DATABASE, LocalStores, open_stores

_T = TypeVar("_T")


def with_stores(data: Path, act: Callable[[LocalStores], Awaitable[_T]], *, make: bool = False) -> _T:
    """What `act` returns, given the stores in the folder `data`. `make`: folder and database, where there are none."""

    async def run() -> _T:
        async with open_stores(data) as stores:
            return await act(stores)

    if not make and _is_missing(data / DATABASE):
        raise Failed(
            f"There is no database in {data}: name its folder with --data, or make one with `sluice keys create`."
        )
    try:
        return asyncio.run(run())
    except StorageUnavailable as error:
        raise Failed(error.message) from None


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # opening it tells what is wrong
    return False
