"""Lambda's emulator as tests use it.

async with emulated("tests.support.lambda_apps.handler") as lambda_, script() as script:
    ...  # whatever speaks HTTP, to `lambda_.url`
    await lambda_.is_quiet()  # every process is frozen
    lambda_.log  # what platform and functions said
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

from common.targets.aws.emulator.emulator import EmulatedFunction, Emulator, emulating, variables_of
from common.targets.aws.emulator.environment import Invocation, Platform
from common.targets.aws.emulator.response import Response
from tests.support.wire import Wire

REPOSITORY: Final = Path(__file__).parents[2]
RUNTIME: Final = (sys.executable, "-m", "common.targets.aws")
PATIENCE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Emulated:
    """An emulator, and what is said in it."""

    emulator: Emulator
    function: EmulatedFunction
    told: list[str]  # by the platform
    _log: Path

    @property
    def url(self) -> str:
        """Of all functions."""
        return self.emulator.url

    @property
    def log(self) -> str:
        """What functions have written so far."""
        return self._log.read_text()

    @property
    def pids(self) -> list[int]:
        """Of all processes."""
        return [each.pid for each in self.emulator.environments if each.pid is not None]

    async def is_quiet(self) -> None:
        """Until every process is frozen; that they are is looked at."""
        async with asyncio.timeout(PATIENCE_S):
            await self.emulator.is_quiet()
            for pid in self.pids:
                while psutil.Process(pid).status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - the kernel tells nobody
                    await asyncio.sleep(0.001)

    async def trigger(self, event: object) -> Any:
        """Invoke it without a URL between; what it answers."""
        response = Response()
        environment = await self.emulator.warm(self.function)
        environment.invoke(Invocation("triggered", "Root=1-0-0", json.dumps(event).encode(), response))
        return json.loads(b"".join([piece async for piece in response.pieces()]))

    async def has_ended(self, pid: int) -> None:
        """Until the process is no more."""
        async with asyncio.timeout(PATIENCE_S):
            await self.emulator.wait_until(lambda all_: pid not in [each.pid for each in all_])


@asynccontextmanager
async def emulated(
    handler: str,
    *,
    variables: Mapping[str, str] | None = None,
    command: Sequence[str] = RUNTIME,
    folder: Path = REPOSITORY,
    timeout_s: float = 900,
    concurrency: int = 100,
) -> AsyncIterator[Emulated]:
    """Serve one function at all paths."""
    told: list[str] = []
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        platform = Platform(
            command=command,
            folder=folder,
            variables=variables_of(os.environ) | {"PYTHONPATH": str(REPOSITORY)} | dict(variables or {}),
            timeout_s=timeout_s,
            tell=told.append,
            log=log.fileno(),
        )
        function = EmulatedFunction("function", handler, lambda _: True, concurrency)
        async with emulating([function], platform) as emulator:
            yield Emulated(emulator, function, told, Path(log.name))


class Script:
    """What a function at `/relay` says, and when; and what it says to that."""

    def __init__(self) -> None:
        self.port = 0
        self._reader: asyncio.Future[asyncio.StreamReader] = asyncio.get_running_loop().create_future()
        self._writer: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def say(self, piece: bytes) -> None:
        """Let it say this."""
        async with asyncio.timeout(PATIENCE_S):
            (await self._writer).write(piece)

    async def end(self) -> None:
        """Let it end."""
        async with asyncio.timeout(PATIENCE_S):
            (await self._writer).write_eof()

    async def heard(self) -> str:
        """What it says next; "" where it is gone."""
        async with asyncio.timeout(PATIENCE_S):
            return (await (await self._reader).readline()).decode().strip()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The function has come."""
        self._reader.set_result(reader)
        self._writer.set_result(writer)


@asynccontextmanager
async def script() -> AsyncIterator[Script]:
    """For one call."""
    scripted = Script()
    server = await asyncio.start_server(scripted.accept, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        if scripted._writer.done():
            scripted._writer.result().transport.abort()


class Streaming(Wire):
    """A connection on which an answer is read piece by piece."""

    async def head(self) -> int:
        """The status of an answer that has begun."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
        assert b"\r\ntransfer-encoding: chunked\r\n" in head
        return int(head.split(b" ")[1])

    async def piece(self) -> bytes:
        """The next chunk; `b""` at the end."""
        async with asyncio.timeout(PATIENCE_S):
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            return (await self._reader.readexactly(size + 2))[:-2]


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Streaming]:
    """A client's connection, closed at the end."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield Streaming(reader, writer)
    finally:
        writer.close()
