"""The installed `sluice` as its user has it: a process, in a folder of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("sluice")


@dataclass(frozen=True, slots=True)
class Ended:
    """What is left of a process."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Serving:
    """A gateway that listens."""

    process: asyncio.subprocess.Process
    welcome: str  # what it printed

    def fact(self, label: str) -> str:
        """What stands behind a label in the welcome."""
        return next(
            line.removeprefix(label).strip() for line in self.welcome.splitlines() if line.startswith(label)
        )

    @property
    def base_url(self) -> str:
        """As printed."""
        return self.fact("Base URL")

    @property
    def root_url(self) -> str:
        """Of the gateway, without /v1."""
        return self.base_url.removesuffix("/v1")

    async def ended(self) -> Ended:
        """Wait for its end."""
        stdout, stderr = await self.process.communicate()
        assert self.process.returncode is not None
        return Ended(self.process.returncode, stdout.decode(), stderr.decode())

    async def stop(self) -> Ended:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return await self.ended()


async def start(folder: Path, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    """Start `sluice` in `folder`, with these variables besides those that are set."""
    return await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(folder: Path, *arguments: str, **variables: str) -> Ended:
    """Run `sluice` to its end."""
    process = await start(folder, *arguments, **variables)
    return await Serving(process, "").ended()


@asynccontextmanager
async def serving(folder: Path, *arguments: str, **variables: str) -> AsyncIterator[Serving]:
    """`sluice serve` on a free port, until the block is left; killed where it has not ended by then."""
    process = await start(folder, "serve", "--port", "0", *arguments, **variables)
    assert process.stdout is not None
    try:
        # one write, of less than the size up to which a pipe keeps it in one piece
        welcome = (await process.stdout.read(2**16)).decode()
        if not welcome:
            raise AssertionError((await Serving(process, "").ended()).stderr)
        yield Serving(process, welcome)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
