"""A deployment under test: its Workers, offline, a provider that plays what the test says, keys and records."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import openai
from openai.types.chat import ChatCompletionMessageParam

from common.access.api_key import RANDOM_BYTES, hash_key, new_key
from common.adapters.sql.database import Statement
from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.usage import SqlUsageStore
from common.model.ids import KeyId, RequestId, UserId
from common.model.limits import Limit
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord
from common.model.usage import UsageRecord
from tests.edge.serving import Edge, open_workers
from tests.support import answers
from tests.support.origin import Exchange, Origin, Script, origin

ASK: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "Say hello."}]
MAX_BODY_BYTES: Final = 100_000
TOML: Final = """
[server]
max_body_bytes = {max_body_bytes}
[providers.one]
kind = "openai"
base_url = "{url}/one"
api_key = "env:PROVIDER_KEY"
cloudflare_ai_gateway = {{ account = "acc", gateway = "gw", token = "env:GATEWAY_TOKEN" }}
[models.hello]
targets = ["one/upstream-hello"]
price = {{ input = "1", output = "10" }}
context_length = 100_000
[models.pair]
targets = ["one/first/same", "one/second/same"]
price = {{ input = "1", output = "10" }}
context_length = 100_000
"""
VARIABLES: Final = {"PROVIDER_KEY": "sk-provider", "GATEWAY_TOKEN": "cf-token"}
OTHERS: Final = {"/careless": "tests.edge.inside.careless_worker"}
_PATIENCE_S: Final = 20

HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END: Final = b"0\r\n\r\n"


class Deployed:
    """What a test looks at."""

    def __init__(self, edge: Edge, provider: Origin) -> None:
        self.edge = edge
        self.provider = provider
        self.script: Script = _silent
        self._clients: list[openai.AsyncOpenAI] = []

    async def client(
        self, *, permissions: frozenset[str] = DEFAULT_PERMISSIONS, **limits: int
    ) -> openai.AsyncOpenAI:
        """The official client, with a new key that has these limits."""
        key = new_key(os.urandom(RANDOM_BYTES))
        record = KeyRecord(
            id=KeyId(f"key_{os.urandom(8).hex()}"),
            key_hash=hash_key(key),
            user=UserId("alice"),
            name="test",
            permissions=permissions,
            created_ms=1,
            overrides={Limit(name): value for name, value in limits.items()},
        )
        await SqlKeyStore(self.edge).create(record)
        client = openai.AsyncOpenAI(base_url=f"{self.edge.url}/v1", api_key=key, max_retries=0)
        self._clients.append(client)
        return client

    async def play(self, script: Script) -> None:
        """From now on, the provider does this; what it was asked so far is forgotten."""
        self.script = script
        self.provider.exchanges.clear()

    async def asked(self, count: int = 1) -> Sequence[Exchange]:
        """What the provider was asked, once it was asked `count` times."""
        async with asyncio.timeout(_PATIENCE_S):
            while len(self.provider.exchanges) < count:  # noqa: ASYNC110 - the provider tells nobody
                await asyncio.sleep(0.001)
        return self.provider.exchanges

    async def drain(self) -> dict[str, Any]:
        """What is left behind once the work of all requests is done."""
        return await asyncio.wrap_future(self.edge.ask("drain"))

    async def record(self, request_id: str) -> UsageRecord | None:
        """Of a request, once everything is settled."""
        await self.drain()
        return await SqlUsageStore(self.edge).find(RequestId(request_id))

    async def close(self) -> None:
        """The clients."""
        for client in self._clients:
            await client.close()


async def _silent(exchange: Exchange) -> None:
    await exchange.left.wait()


@asynccontextmanager
async def deployed(folder: Path, *, migrated: bool = True) -> AsyncIterator[Deployed]:
    """Every function's Worker, and the jobs'; their log is `log` in `folder`."""
    world: list[Deployed] = []

    async def play(exchange: Exchange) -> None:
        await world[0].script(exchange)

    async with origin(play) as provider:
        configuration = TOML.format(url=provider.url, max_body_bytes=MAX_BODY_BYTES)
        with (
            (folder / "log").open("w") as log,
            open_workers(folder, configuration, VARIABLES, log=log, others=OTHERS) as edge,
        ):
            if migrated:
                edge.migrate()
            world.append(Deployed(edge, provider))
            try:
                yield world[0]
            finally:
                await world[0].close()


def chunked(*pieces: bytes) -> bytes:
    """Pieces of a body as they go over the wire."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


async def whole(exchange: Exchange) -> None:
    """A whole answer."""
    await exchange.answer(answers.completion("Hello."), "200 OK", "content-type: application/json")


def streaming(events: Sequence[bytes]) -> Script:
    """A provider that streams all events at once."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(HEAD, chunked(*events), END)

    return script


async def ask(client: openai.AsyncOpenAI, **more: Any) -> Any:
    """A completion, with its headers."""
    return await client.chat.completions.with_raw_response.create(model="hello", messages=ASK, **more)


async def records_of(world: Deployed, client: openai.AsyncOpenAI) -> list[dict[str, Any]]:
    """What was written for a key, from the database itself."""
    sql = "SELECT outcome, held, cost FROM usage JOIN keys ON keys.id = usage.key_id WHERE keys.hash = ?1"
    (rows,) = await world.edge.run(Statement(sql, (hash_key(client.api_key).hex(),)))
    return [dict(zip(("outcome", "held", "cost"), row, strict=True)) for row in rows]
