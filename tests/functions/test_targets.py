"""The same requests to every target: the answers are the same, byte for byte, but for what docs/targets.md lists.

One machine is the installed `sluice serve` on SQLite; AWS is `sluice emulate aws` on moto's DynamoDB; Cloudflare are
the Workers in Pyodide on workerd's D1 and KV. All have the same configuration, provider and key.
"""

import json
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from common.access.api_key import RANDOM_BYTES, hash_key, new_key
from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.sqlite import open_sqlite
from common.model.ids import KeyId, UserId
from common.model.limits import Limit
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord
from common.ports import KeyStore
from common.targets.local import DATABASE
from tests.edge.serving import open_workers
from tests.support import answers
from tests.support.dynamodb import ENDPOINT, moto, open_dynamo
from tests.support.origin import Exchange, origin
from tests.support.sluice import serving, start
from tests.support.wire import Answer, connected, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY: Final = new_key(bytes(range(RANDOM_BYTES)))
SPENT_KEY: Final = new_key(bytes(range(1, RANDOM_BYTES + 1)))
# as docs/targets.md has them: what differs, and at which target
DIFFERENCES: Final[Mapping[str, set[str]]] = {
    "strict-transport-security": {"aws"},
    "x-amzn-requestid": {"aws"},
    "a path that is nobody's": {"aws"},
}
TOML: Final = """
[server]
max_body_bytes = 2_000
cors_origins = ["https://app.example.com"]
[routing]
retries = 0
[providers.one]
kind = "openai"
base_url = "{url}/one"
api_key = "env:PROVIDER_KEY"
[models.hello]
targets = ["one/upstream-hello"]
tier = "budget"
price = {{ input = "1", output = "10" }}
context_length = 100_000
"""
VARIABLES: Final = {"PROVIDER_KEY": "sk-provider"}
AWS_VARIABLES: Final = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
REPOSITORY: Final = Path(__file__).parents[2]
NOBODYS: Final = {"/v1/nowhere", "/models"}
CHAT: Final = "/v1/chat/completions"
HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "date", "server"}
IDS: Final = re.compile(rb"req_[a-z0-9]{16}")
# what tells times: how long the gateway took, and how long until a window moves on
TIMES: Final = {
    "openai-processing-ms",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "retry-after",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str = "POST"
    path: str = CHAT
    body: bytes = b""
    key: str | None = KEY
    headers: tuple[str, ...] = ()

    @property
    def raw(self) -> bytes:
        """On the wire."""
        lines = [] if self.key is None else [f"authorization: Bearer {self.key}"]
        if self.body:
            lines.append("content-type: application/json")
        return request(self.method, self.path, *lines, *self.headers, body=self.body)


def chat(say: str = "hello", **more: object) -> bytes:
    """A request's body; `say` is what the provider goes by."""
    return json.dumps({"model": "hello", "messages": [{"role": "user", "content": say}]} | more).encode()


REQUESTS: Final[Mapping[str, Asked]] = {
    "health": Asked("GET", "/health", key=None),
    "health, HEAD": Asked("HEAD", "/health", key=None),
    "ready": Asked("GET", "/health/ready", key=None),
    "models": Asked("GET", "/v1/models"),
    "a model": Asked("GET", "/v1/models/hello"),
    "no such model": Asked("GET", "/v1/models/nobody%2Fmodel"),
    "whole": Asked(body=chat()),
    "streamed": Asked(body=chat(stream=True)),
    "streamed, with usage": Asked(body=chat(stream=True, stream_options={"include_usage": True})),
    "in other letters": Asked(body=chat("naïve 🚪 \u2028")),
    "of a page": Asked(body=chat(), headers=("origin: https://app.example.com",)),
    "before a page's": Asked(
        "OPTIONS",
        key=None,
        headers=("origin: https://app.example.com", "access-control-request-method: POST"),
    ),
    "with a request id": Asked(body=chat(), headers=("x-request-id: mine-1", "x-session-id: s")),
    "a model that there is not": Asked(body=chat(model="nobody")),
    "no messages": Asked(body=b'{"model": "hello"}'),
    "no JSON": Asked(body=b"{"),
    "too long": Asked(body=chat("x" * 3_000)),
    "no key": Asked(body=chat(), key=None),
    "another's key": Asked(body=chat(), key="sk-sluice-nobody"),
    "no such path": Asked("GET", "/v1/nowhere"),
    "without /v1": Asked("GET", "/models"),
    "another method": Asked("DELETE"),
    "OPTIONS": Asked("OPTIONS", key=None),
    "a provider that refuses": Asked(body=chat("400")),
    "a provider that is at its limit": Asked(body=chat("429")),
    "a provider that fails": Asked(body=chat("500")),
    "a provider that gives up": Asked(body=chat("gives up", stream=True)),
    "a day's last request": Asked(body=chat(), key=SPENT_KEY),
    "a fuller day": Asked(body=chat(), key=SPENT_KEY),
    "no such receipt": Asked("GET", "/v1/usage/req_0000000000000000"),
    "keys, without the permission": Asked("GET", "/v1/keys"),
    "usage, no time": Asked("GET", "/v1/usage?start_time=yesterday"),
}


async def provide(exchange: Exchange) -> None:
    """The provider, which goes by what it is told."""
    asked = json.loads(exchange.asked.body)
    said = asked["messages"][0]["content"]
    if said.isdigit():
        error = {"error": {"message": "the provider's words", "type": "some_error", "code": None}}
        return await exchange.answer(json.dumps(error).encode(), f"{said} Said So", "retry-after: 7")
    if not asked.get("stream"):
        return await exchange.answer(answers.completion(said), "200 OK", "content-type: application/json")
    events = answers.stream("Hel", "lo")
    if said == "gives up":
        events[2:] = [b'data: {"error": {"message": "the provider\'s words", "code": 502}}\n\n']
    body = b"".join(events)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return await exchange.send(head, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))


async def add_keys(keys: KeyStore) -> None:
    """The same in each store."""
    for number, (key, overrides) in enumerate(
        [(KEY, {Limit.REQUESTS_PER_DAY: 1_000}), (SPENT_KEY, {Limit.REQUESTS_PER_DAY: 1})]
    ):
        record = KeyRecord(
            id=KeyId(f"key_{number:012}"),
            key_hash=hash_key(key),
            user=UserId("ada"),
            name="test",
            permissions=DEFAULT_PERMISSIONS,
            created_ms=1,
            overrides=overrides,
        )
        await keys.create(record)


# -- targets -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def local(folder: Path) -> AsyncIterator[str]:
    """One machine; its address."""
    async with open_sqlite(folder / DATABASE) as database:
        await add_keys(SqlKeyStore(database))
    async with serving(folder, "--data", str(folder), **VARIABLES) as process:
        yield process.root_url
        await process.stop()


@asynccontextmanager
async def aws(folder: Path) -> AsyncIterator[str]:
    """Functions on Lambda's emulator."""
    async with open_dynamo(ENDPOINT or moto()) as store:
        await add_keys(store.keys())
        variables = {"SLUICE_TABLE": store.table, "SLUICE_DYNAMODB_ENDPOINT": store.url}
        process = await start(
            folder, "emulate", "aws", "--port", "0", **variables, **AWS_VARIABLES, **VARIABLES
        )
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        yield line.removeprefix("Base URL").strip().removesuffix("/v1")
        process.send_signal(signal.SIGTERM)
        await process.communicate()


@asynccontextmanager
async def cloudflare(folder: Path) -> AsyncIterator[str]:
    """Workers."""
    configuration = (folder / "sluice.toml").read_text()
    with (folder / "log").open("w") as log, open_workers(folder, configuration, VARIABLES, log=log) as edge:
        edge.migrate()
        await add_keys(SqlKeyStore(edge))
        yield edge.url


TARGETS: Final = {"local": local, "aws": aws, "cloudflare": cloudflare}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def urls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mapping[str, str]]:
    """Of all targets."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(origin(provide))
        opened = {}
        for name, target in TARGETS.items():
            folder = tmp_path_factory.mktemp(name)
            (folder / "sluice.toml").write_text(TOML.format(url=provider.url))
            opened[name] = await stack.enter_async_context(target(folder))
        yield opened


async def ask(url: str, asked: Asked) -> Answer:
    """The answer, over a connection of its own."""
    async with connected(url) as wire:
        await wire.send(asked.raw)
        return await wire.answer(to_head=asked.method == "HEAD")


# -- answers -----------------------------------------------------------------------------------------------------------


def facts(answer: Answer) -> dict[str, object]:
    """What is compared: without ids, times, and what is said between two machines only."""
    headers = {name: value for name, value in answer.headers if name not in HOP_BY_HOP}
    for name in headers.keys() & TIMES:
        headers[name] = "some time"
    if IDS.fullmatch(headers.get("x-request-id", "").encode()):
        headers["x-request-id"] = "an id"
    headers.pop("content-length", None)  # of the body, which is compared; a stream has none
    return {"status": answer.status, "body": IDS.sub(b"an id", answer.body), **headers}


@pytest.mark.parametrize("name", REQUESTS)
async def test_same_answer(urls: Mapping[str, str], name: str) -> None:
    """Status, headers and body of an answer are the same on every target, but for what is listed."""
    asked = REQUESTS[name]
    elsewhere = DIFFERENCES["a path that is nobody's"] if asked.path in NOBODYS else set()
    given = {target: facts(await ask(url, asked)) for target, url in urls.items() if target not in elsewhere}
    for target, each in given.items():
        differing = {
            fact: (given["local"].get(fact), each.get(fact))
            for fact in given["local"].keys() | each.keys()
            if given["local"].get(fact) != each.get(fact) and target not in DIFFERENCES.get(fact, ())
        }
        assert differing == {}, target


async def test_answers_are_answers(urls: Mapping[str, str]) -> None:
    """The set has answers of every kind: it would compare little if all were refusals."""
    statuses = [(await ask(urls["local"], asked)).status for asked in REQUESTS.values()]
    assert set(statuses) >= {200, 204, 400, 401, 403, 404, 405, 413, 429, 502}
    assert statuses.count(200) >= 9


async def test_differences_are_listed() -> None:
    """The page on targets lists these differences, and no others."""
    page = (REPOSITORY / "docs/targets.md").read_text()
    (rows,) = re.findall(r"^\| in an answer \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert {row.split("|")[1].strip().strip("`") for row in rows.splitlines()} == DIFFERENCES.keys()
