"""A Worker whose requests wait for each other, which the platform forbids: the proof that it is noticed."""

import asyncio
from typing import Any

from workers import Response, WorkerEntrypoint

_waiting: list[asyncio.Future[None]] = []


class Default(WorkerEntrypoint):  # type: ignore[misc] # the base is the platform's
    """The first of two requests goes on when the second has come."""

    async def fetch(self, _request: Any) -> Any:
        """Ask KV for something, which belongs to the request that asks."""
        if _waiting:
            _waiting.pop().set_result(None)
        else:
            _waiting.append(asyncio.get_running_loop().create_future())
            await _waiting[0]
        await self.env.KV.get("anything")
        return Response("done")
