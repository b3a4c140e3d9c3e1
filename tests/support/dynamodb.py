"""A DynamoDB for tests: moto's, in a process of its own, or the one at `SLUICE_DYNAMODB_ENDPOINT`.

moto by itself answers requests in parallel and loses updates; a lock around it makes it do one after the other, as
DynamoDB does for each item. It takes some 5 ms for a call, more for a transaction, which copies the whole table. As in
DynamoDB, a transaction is carried out once for each of its tokens.

Run as a program, this file is that process: it prints its address and serves until standard input ends.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Final

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.adapters.dynamodb.client import ConditionFailed, DynamoClient, Item
from common.adapters.dynamodb.keys import DynamoKeyStore
from common.adapters.dynamodb.rows import DynamoRows
from common.adapters.dynamodb.sign import Credentials
from common.adapters.dynamodb.table import create_table
from common.adapters.dynamodb.usage import DynamoUsageStore, to_record
from common.adapters.dynamodb.users import DynamoUserStore
from common.adapters.upstream.pooled import PooledUpstream
from common.model.errors import StorageUnavailable, UpstreamBroken
from common.model.usage import UsageRecord
from common.ports import Clock, Timeouts, Upstream, UpstreamRequest, UpstreamResponse

ENDPOINT: Final = os.environ.get("SLUICE_DYNAMODB_ENDPOINT")
_REGION: Final = os.environ.get("AWS_REGION", "us-east-1")
_PATIENCE: Final = Timeouts(connect_s=10, first_byte_s=30, idle_s=10)
_ROOT: Final = Path(__file__).parents[2]


@cache
def moto() -> str:
    """The address of moto's server. It starts when first asked for, and ends with this process, however that ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.dynamodb"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    _kept.append(process)
    return process.stdout.readline().strip()


_kept: Final[list[subprocess.Popen[str]]] = []  # for as long as this process lives


async def credentials() -> Credentials:
    """Of the environment, which only an endpoint that is AWS's asks for."""
    named = [
        os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    ]
    return Credentials(named[0] or "test", named[1] or "test", named[2])


class Fault(StrEnum):
    """What goes wrong with a call, for whoever made it."""

    DOWN = "not carried out"
    LOST = "carried out, and the answer lost"
    CANCELLED = "carried out, and the caller cancelled"
    KILLED = "carried out, and the process killed"


class WatchedClient(DynamoClient):
    """A client that keeps what it is asked and answered, fails as it is told, and can be killed."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.operations: list[str] = []
        self.images: list[Item] = []  # rows as they came back
        self.faults: dict[int, Fault] = {}  # by the number of the call, from 0
        self.meanwhile: dict[int, Callable[[], Awaitable[object]]] = {}  # done before that call
        self.killed = False

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """See `DynamoClient.call`; whose process is killed hears of nothing any more."""
        self._die()
        number = len(self.operations)
        self.operations.append(operation)
        if number in self.meanwhile:
            await self.meanwhile[number]()
        fault = self.faults.get(number)
        if fault is Fault.DOWN:
            raise StorageUnavailable(fault)
        try:
            reply = await super().call(operation, payload)
        except ConditionFailed as failed:
            self._see(failed.item)
            raise
        finally:
            await self._fail(fault)
        self._see(reply.get("Attributes"))
        return reply

    async def _fail(self, fault: Fault | None) -> None:
        match fault:
            case Fault.LOST:
                raise StorageUnavailable(fault)
            case Fault.CANCELLED:
                task = asyncio.current_task()
                assert task
                task.cancel()
                await asyncio.sleep(0)
            case Fault.KILLED:
                self.killed = True
            case Fault.DOWN | None:
                pass
        self._die()

    def _see(self, item: Item | None) -> None:
        if item is not None and "o" in item:
            self.images.append(item)

    def _die(self) -> None:
        if self.killed:
            raise asyncio.CancelledError


class Patient:
    """An `Upstream` that waits for moto, which makes those who come together wait for each other."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        """See `Upstream.send`."""
        return self._upstream.send(replace(request, timeouts=_PATIENCE))


class Lossy:
    """An `Upstream` that loses the first answer to each request that writes: the connection breaks behind it."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._seen: set[bytes] = set()
        self.lost = 0

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """See `Upstream.send`."""
        async with self._upstream.send(request) as response:
            if b"ConditionExpression" in request.body and request.body not in self._seen:
                self._seen.add(request.body)
                self.lost += 1
                while await response.read():
                    pass
                raise UpstreamBroken("The provider's answer broke off.")
            yield response


@dataclass
class LocalDynamo:
    """One table, empty at first, for as many processes as a test likes."""

    url: str
    upstream: Upstream
    table: str
    clock: Clock = field(default_factory=SystemClock)
    background: TaskBackground = field(default_factory=TaskBackground)

    def client(self, upstream: Upstream | None = None) -> WatchedClient:
        """That of one more process."""
        return WatchedClient(
            upstream or self.upstream,
            SystemClock(),
            random.Random(),
            endpoint=self.url,
            region=_REGION,
            credentials=credentials,
        )

    def rows(self, client: DynamoClient | None = None) -> DynamoRows:
        """The rows as a process sees them."""
        return DynamoRows(client or self.client(), self.table, self.clock, self.background)

    def keys(self) -> DynamoKeyStore:
        """The API keys."""
        return DynamoKeyStore(self.client(), self.table)

    def users(self) -> DynamoUserStore:
        """The users who have limits."""
        return DynamoUserStore(self.client(), self.table)

    def usage(self) -> DynamoUsageStore:
        """The records."""
        return DynamoUsageStore(self.client(), self.table)

    async def records(self) -> list[UsageRecord]:
        """All of them."""
        found, client = [], self.client()
        asked: dict[str, Any] = {"TableName": self.table, "ConsistentRead": True}
        while True:
            reply = await client.call("Scan", asked)
            found += [to_record(item) for item in reply["Items"] if "outcome" in item]
            if "LastEvaluatedKey" not in reply:
                return found
            asked["ExclusiveStartKey"] = reply["LastEvaluatedKey"]


@asynccontextmanager
async def open_dynamo(url: str) -> AsyncIterator[LocalDynamo]:
    """A new table at an endpoint; it is deleted afterwards."""
    upstream = PooledUpstream()
    local = LocalDynamo(url, Patient(upstream), f"sluice-test-{random.getrandbits(64):016x}")
    client, named = local.client(), {"TableName": local.table}
    await client.call("CreateTable", create_table(local.table))
    try:
        for pause_s in (0.0, *[0.5] * 60):
            await asyncio.sleep(pause_s)
            if (await client.call("DescribeTable", named))["Table"]["TableStatus"] == "ACTIVE":
                break
        yield local
        assert await local.background.drain(10) == 0
    finally:
        await client.call("DeleteTable", named)
        await upstream.close()


class _Moto(BaseHTTPRequestHandler):
    """One connection, which is kept: werkzeug's own server closes each after one answer."""

    protocol_version = "HTTP/1.1"
    lock: ClassVar = threading.Lock()
    app: ClassVar[Any] = None
    done: ClassVar[
        dict[str, bytes]
    ] = {}  # answers to transactions, by their tokens, which moto takes no notice of

    def do_POST(self) -> None:
        """Hand a request to moto, one at a time."""
        body = self.rfile.read(int(self.headers["content-length"]))
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": self.path,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
            "wsgi.errors": sys.stderr,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers["content-type"],
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()},
        }
        status = ""

        def start_response(said: str, _headers: object, _error: object = None) -> None:
            nonlocal status
            status = said

        token = json.loads(body).get("ClientRequestToken")
        with self.lock:
            if token in self.done:
                status, answer = "200 OK", self.done[token]
            else:
                answer = b"".join(self.app(environ, start_response))
            if token and status.startswith("200"):
                self.done[token] = answer
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
        self.wfile.write(head.encode() + answer)

    def log_request(self, *_: object) -> None:
        """Nothing."""


def _serve() -> None:
    _Moto.app = staticmethod(import_module("moto.moto_server.werkzeug_app").create_backend_app("dynamodb"))
    ThreadingHTTPServer.request_queue_size = 256  # of connections that come together
    with ThreadingHTTPServer(("127.0.0.1", 0), _Moto) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        sys.stdin.read()
        os._exit(0)  # connections that are kept would be waited for


if __name__ == "__main__":
    _serve()
