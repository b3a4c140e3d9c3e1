"""A whole gateway on a socket, before a provider that a test plays; only its stores are in memory.

async with scripted(answering(completion())) as gateway:
    answer = await gateway.chat({"model": "hello", "messages": ASK})
    [line] = await gateway.lines()
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from common.adapters.background import TaskBackground
from common.adapters.upstream.pooled import PooledUpstream
from common.model.principal import DEFAULT_PERMISSIONS, Overrides
from common.telemetry.log_format import JsonLines, PlainLines
from tests.support.answers import completion
from tests.support.gateway import NO_OVERRIDES, MemoryGateway, memory_gateway
from tests.support.origin import Exchange, Origin, origin
from tests.support.served import served
from tests.support.wire import Answer, connected, request

Script = Callable[[Exchange], Awaitable[None]]

CHAT: Final = "/v1/chat/completions"
ASK: Final = ({"role": "user", "content": "Say hello."},)
REQUEST: Final[Mapping[str, Any]] = MappingProxyType({"model": "hello", "messages": ASK})
PROVIDER_KEY: Final = "provider-secret-3141592653"
PROVIDERS: Final = """
[routing]
retries = 0
[providers.one]
kind = "openai"
base_url = "{url}/one"
api_key = "env:KEY"
[models.hello]
targets = ["one/upstream-hello"]
price = {{ input = "1", output = "2" }}
context_length = 10_000
[models.twice]
targets = ["one/first", "one/second"]
"""


class LogLines(logging.Handler):
    """What the log came to, in both forms."""

    def __init__(self) -> None:
        super().__init__()
        self.json: list[str] = []
        self.plain: list[str] = []
        self._json = JsonLines([PROVIDER_KEY])
        self._plain = PlainLines([PROVIDER_KEY])

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.json.append(self._json.format(record))
        self.plain.append(self._plain.format(record))


@contextmanager
def logging_to(lines: LogLines) -> Iterator[None]:
    """Log at INFO to `lines` alone."""
    log = logging.getLogger("sluice")
    before = log.handlers, log.level, log.propagate
    log.handlers, log.propagate = [lines], False
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.handlers, log.propagate = before[0], before[2]
        log.setLevel(before[1])


@dataclass(frozen=True, slots=True)
class ScriptedGateway:
    """Everything that a test looks at."""

    url: str
    held: MemoryGateway
    provider: Origin
    background: TaskBackground
    log: LogLines = field(default_factory=LogLines)

    @property
    def bearer(self) -> str:
        """The header line of the key."""
        return f"authorization: Bearer {self.held.key}"

    async def send(self, method: str, target: str, *lines: str | bytes, body: bytes = b"") -> Answer:
        """One request on a connection of its own."""
        async with connected(self.url) as wire:
            await wire.send(request(method, target, *lines, body=body))
            return await wire.answer(to_head=method == "HEAD")

    async def chat(self, body: bytes | Mapping[str, Any], *lines: str | bytes) -> Answer:
        """Post a completion with the key."""
        text = body if isinstance(body, bytes) else json.dumps(dict(body)).encode()
        return await self.send("POST", CHAT, self.bearer, *lines, body=text)

    async def lines(self, count: int = 1) -> Sequence[Any]:
        """The log's entries, once there are `count`: a line follows its answer."""
        async with asyncio.timeout(5):
            while len(self.log.json) < count:  # noqa: ASYNC110 - the log tells nobody
                await asyncio.sleep(0.001)
        return [json.loads(line) for line in self.log.json]


def answering(body: bytes, status: str = "200 OK", *headers: str) -> Script:
    """A provider that answers in one piece."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(body, status, "content-type: application/json", *headers)

    return script


def streaming(events: Sequence[bytes]) -> Script:
    """A provider that streams all events and ends in order."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for event in events:
            await exchange.send(b"%x\r\n%b\r\n" % (len(event), event))
        await exchange.send(b"0\r\n\r\n")

    return script


@asynccontextmanager
async def scripted(
    script: Script | None = None,
    *,
    server: str = "",
    routing: str = "",
    functions: Sequence[str] | None = None,
    permissions: frozenset[str] = DEFAULT_PERMISSIONS,
    overrides: Overrides = NO_OVERRIDES,
) -> AsyncIterator[ScriptedGateway]:
    """A gateway whose provider plays `script`, else answers; `server`, `routing`: lines of these sections."""
    upstream, background = PooledUpstream(), TaskBackground()
    try:
        async with origin(script or answering(completion())) as provider:
            held = await memory_gateway(
                f"[server]\n{server}\n"
                + PROVIDERS.format(url=provider.url).replace("[routing]", f"[routing]\n{routing}"),
                upstream,
                {"KEY": PROVIDER_KEY},
                permissions=permissions,
                overrides=overrides,
            )
            async with served(held.app(functions), background) as url:
                gateway = ScriptedGateway(url, held, provider, background)
                with logging_to(gateway.log):
                    yield gateway
    finally:
        await upstream.close()
