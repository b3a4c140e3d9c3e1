"""An application behind the local target's own server, on a free port of this process's event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from common.adapters.background import TaskBackground
from common.targets.local_server import LocalServer


@asynccontextmanager
async def served(app: ASGIApp, background: TaskBackground | None = None) -> AsyncIterator[str]:
    """Serve; its address. At the end running requests finish, and what they left to the background."""
    server = LocalServer(app, background or TaskBackground(), "127.0.0.1", 0)
    listening = asyncio.Event()

    async def on_listening() -> None:
        listening.set()

    serving = asyncio.create_task(server.serve(on_listening))
    waiting = asyncio.create_task(listening.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
        await serving
