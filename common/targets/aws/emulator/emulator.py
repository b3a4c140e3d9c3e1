"""The front: function URLs behind one address, which go by path as a distribution in front of them does."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from common.targets.aws.emulator.environment import Environment, Invocation, Platform, State
from common.targets.aws.emulator.event import MAX_EVENT_BYTES, Call, event_of
from common.targets.aws.emulator.http1 import BadRequest, Line, Request, listening
from common.targets.aws.emulator.response import FAILED, FAILED_BODY, BrokenOff, Head, Response
from common.targets.aws.emulator.runtime_api import RuntimeApi

_HOST: Final = "127.0.0.1"
_JSON: Final = ("content-type", "application/json")
_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade"})
_BODILESS: Final = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class EmulatedFunction:
    """A function that can be called."""

    name: str
    handler: str
    serves: Callable[[str], bool]  # whether a path is its own
    concurrency: int = 100


class TooMany(Exception):
    """All environments that a function may have are busy."""


class Emulator:
    """Takes requests, and finds or makes environments for them."""

    def __init__(self, functions: Sequence[EmulatedFunction], platform: Platform) -> None:
        self.environments: list[Environment] = []  # that have not ended
        self.url = ""
        self._functions = functions
        self._platform = platform
        self._numbers: dict[str, int] = {}
        self._moved = asyncio.Event()
        self._living: set[asyncio.Task[None]] = set()

    async def wait_until(self, condition: Callable[[Sequence[Environment]], bool]) -> None:
        """Until it holds for the environments that there are."""
        while not condition(self.environments):
            self._moved.clear()
            await self._moved.wait()

    async def is_quiet(self) -> None:
        """Until every environment is frozen."""
        await self.wait_until(lambda all_: all(each.state is State.IDLE for each in all_))

    # -- environments

    def _dispatch(self, function: EmulatedFunction, invocation: Invocation) -> None:
        """To the environment that was used last, of those that wait; else to a new one. `TooMany`."""
        own = [each for each in self.environments if each.function == function.name]
        idle = [each for each in own if each.state is State.IDLE]
        if not idle and len(own) >= function.concurrency:
            raise TooMany
        environment = max(idle, key=lambda each: each.last_used) if idle else self._begin(function)
        environment.invoke(invocation)

    def _begin(self, function: EmulatedFunction) -> Environment:
        number = self._numbers[function.name] = self._numbers.get(function.name, 0) + 1
        environment = Environment(function.name, function.handler, self._platform, number)
        environment.moved = self._on_move
        self.environments.append(environment)
        task = asyncio.get_running_loop().create_task(_live(environment))
        self._living.add(task)
        task.add_done_callback(self._living.discard)
        return environment

    async def warm(self, function: EmulatedFunction) -> Environment:
        """One more environment, started and frozen, as provisioned concurrency has them."""
        environment = self._begin(function)
        await self.wait_until(lambda _: environment.state in {State.IDLE, State.ENDED})
        return environment

    def _on_move(self, environment: Environment) -> None:
        if environment.state is State.ENDED and environment in self.environments:
            self.environments.remove(environment)
        self._moved.set()

    async def close(self) -> None:
        """End all processes."""
        await asyncio.gather(*(each.shut_down() for each in self.environments))
        await asyncio.gather(*self._living)

    # -- requests

    async def attend(self, line: Line) -> None:
        """Answer a client's requests until one of both ends the connection."""
        try:
            while request := await line.request():
                await self._answer(line, request)
                if (request.value("connection") or "").lower() == "close":
                    return
        except BadRequest:
            await line.answer(400, [_JSON], b'{"Message":"Bad Request"}')

    async def _answer(self, line: Line, request: Request) -> None:
        if (request.value("expect") or "").lower() == "100-continue":
            line.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _bounded(line, request)
        path = request.target.partition("?")[0]
        function = next((each for each in self._functions if each.serves(path)), None)
        if function is None:
            await line.answer(403, [_JSON], b'{"Message":null}')
            return
        call = _call(line, request, body or b"")
        event = json.dumps(event_of(call)).encode()
        if body is None or len(event) > MAX_EVENT_BYTES:
            await line.answer(413, [_JSON], b'{"Message":"Request must be smaller than 6291456 bytes"}')
            return
        invocation = Invocation(call.request_id, call.trace_id, event, Response())
        try:
            self._dispatch(function, invocation)
        except TooMany:
            reason = {
                "Reason": "ConcurrentInvocationLimitExceeded",
                "Type": "User",
                "message": "Rate Exceeded.",
            }
            await line.answer(429, [_JSON], json.dumps(reason).encode())
            return
        await _relay(line, request, invocation)


async def _live(environment: Environment) -> None:
    """From its process's start to its end."""
    api = RuntimeApi(environment)
    environment.cut_connections = api.cut
    async with listening(api.attend, _HOST, 0) as port:
        await environment.run(f"{_HOST}:{port}")


async def _bounded(line: Line, request: Request) -> bytes | None:
    """The body, read to its end; None where it is larger than any event."""
    kept, size = [], 0
    async for piece in line.body(request):
        size += len(piece)
        if size <= MAX_EVENT_BYTES:
            kept.append(piece)
    return b"".join(kept) if size <= MAX_EVENT_BYTES else None


def _call(line: Line, request: Request, body: bytes) -> Call:
    now = time.time()
    return Call(
        method=request.method,
        target=request.target,
        headers=[each for each in request.headers if each[0] not in _HOP],
        body=body,
        source_ip=line.writer.get_extra_info("peername")[0],
        request_id=f"{random.getrandbits(128):032x}",
        trace_id=f"Root=1-{int(now):08x}-{random.getrandbits(96):024x};Parent={random.getrandbits(64):016x};Sampled=0",
        now_ms=round(now * 1000),
    )


async def _relay(line: Line, request: Request, invocation: Invocation) -> None:
    """Pass the answer on as it comes. That the client has left changes nothing for the function."""
    response = invocation.response
    told = await response.head
    identified = ("x-amzn-requestid", invocation.id)
    if told is None:
        await line.answer(FAILED.status, [*FAILED.headers, identified], FAILED_BODY)
        return
    bodiless = request.method == "HEAD" or told.status in _BODILESS
    with suppress(ConnectionError):
        line.begin(
            told.status,
            [*_passed(told), identified, *([] if bodiless else [("transfer-encoding", "chunked")])],
        )
    try:
        async for piece in response.pieces():
            with suppress(ConnectionError):
                if not bodiless and not line.writer.is_closing():
                    await line.chunk(piece)
    except BrokenOff:
        line.cut()
        return
    if not bodiless:
        await line.chunk(b"")


def _passed(head: Head) -> list[tuple[str, str]]:
    return [each for each in head.headers if each[0] not in _HOP | {"content-length"}]


@asynccontextmanager
async def emulating(
    functions: Sequence[EmulatedFunction], platform: Platform, *, host: str = _HOST, port: int = 0
) -> AsyncIterator[Emulator]:
    """Serve the functions; at the end, their processes are gone."""
    emulator = Emulator(functions, platform)
    try:
        async with listening(emulator.attend, host, port) as taken:
            emulator.url = f"http://{host}:{taken}"
            yield emulator
    finally:
        await emulator.close()


def variables_of(environ: Mapping[str, str]) -> dict[str, str]:
    """What functions find set besides Lambda's own: all of `environ`, and credentials where it has none."""
    return {"AWS_ACCESS_KEY_ID": "emulated", "AWS_SECRET_ACCESS_KEY": "emulated", **environ}
