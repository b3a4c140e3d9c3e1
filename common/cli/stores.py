"""The stores that commands work on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from common.cli.output import Failed
from common.model.errors import SluiceError
from common.targets.stores import Place, Stores

_T = TypeVar("_T")


def with_stores(place: Place, act: Callable[[Stores], Awaitable[_T]], *, make: bool = False) -> _T:
    """What `act` returns, given the stores. `make`: where there are none, make them, if that is for a command to do."""

    async def run() -> _T:
        async with place.stores(make=make) as stores:
            return await act(stores)

    try:
        return asyncio.run(run())
    except SluiceError as error:
        raise Failed(error.message) from None
