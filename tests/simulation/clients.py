"""Clients of the gateway's application: patient or not, slow or not, each with a key and something to ask."""

import asyncio
import json
import random
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from common.gateway.context import Gone, RequestContext
from tests.simulation.invariants import Violation
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

_TOOL: Final = {"type": "function", "function": {"name": "f"}}
_DONE: Final = b"data: [DONE]\n\n"
_SAID: Final = re.compile(rb'"content": ?"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Habits:
    """What a client is like: how often it does what."""

    requests: tuple[int, int] = (3, 6)  # from, to
    think_s: tuple[float, ...] = (0.0, 0.01, 0.2, 3.0)
    models: tuple[str, ...] = ("one", "two", "three", "four", "five", "six", "seven")
    prompt_tokens: tuple[int, ...] = (1, 20, 200)
    output_max: tuple[int | None, ...] = (1, 10, 60, None)
    streams: float = 0.6
    choices: float = 0.15
    tools: float = 0.15
    leaves: float = 0.2
    cancels: float = 0.0  # how often a server cancels what it does for one who has left
    slow: float = 0.15
    stalls: float = 0.03
    deadline: float = 0.15
    hurry: float = 0.1  # how often it says how long it waits
    resumes: float = 0.9  # how often it takes an answer that was continued elsewhere
    patience: int = 4  # how often it asks again
    longest_wait_s: float = 80.0


@dataclass
class Request:
    """One request on its way, as its client sees it."""

    nonce: str
    key: str
    process: Process
    streamed: bool
    model: str
    choices: int
    gone: Gone
    done: asyncio.Future[None]
    leaving: asyncio.Future[None]
    serving: asyncio.Task[None] | None = None
    status: int = 0
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    deadline_s: float | None = None
    timeout_s: float | None = None  # as it says
    resumes: bool = True
    served_s: float = 0.0  # when it came to its process
    content_s: float | None = None  # when its first content came

    @property
    def text(self) -> str:
        """What it was told, of all choices."""
        return b"".join(_SAID.findall(self.body)).decode()

    @property
    def left(self) -> bool:
        """Whether the client has gone."""
        return self.leaving.done()

    def leave(self) -> None:
        """Go."""
        if not self.left:
            self.leaving.set_result(None)


class Client:
    """Asks with one key, one request after the other."""

    def __init__(self, world: "World", key: str, habits: Habits, rng: random.Random) -> None:
        self._world = world
        self._key = key
        self._habits = habits
        self._rng = rng
        self.answered = 0

    async def live(self) -> None:
        """All that it ever asks."""
        rng, habits = self._rng, self._habits
        for _ in range(rng.randint(*habits.requests)):
            await asyncio.sleep(rng.choice(habits.think_s))
            await self.insist(self.body())

    async def insist(self, body: dict[str, Any]) -> Request:
        """Ask, and ask again where one is told that it may help."""
        for _ in range(self._habits.patience):
            request = await self.ask(body)
            wait_s = _wait_s(request)
            if wait_s is None or wait_s > self._habits.longest_wait_s:
                break
            await asyncio.sleep(wait_s)
        return request

    def body(self) -> dict[str, Any]:
        """Something to ask."""
        rng, habits = self._rng, self._habits
        text = "wxyz" * rng.choice(habits.prompt_tokens)
        body: dict[str, Any] = {
            "model": rng.choice(habits.models),
            "messages": [{"role": "user", "content": text}],
        }
        if rng.random() < habits.streams:
            body["stream"] = True
            if rng.random() < 0.5:
                body["stream_options"] = {"include_usage": True}
        if (output := rng.choice(habits.output_max)) is not None:
            body[rng.choice(("max_tokens", "max_completion_tokens"))] = output
        if rng.random() < habits.choices:
            body["n"] = 2
        if rng.random() < habits.tools:
            body["tools"] = [_TOOL]
        return body

    async def ask(self, body: dict[str, Any]) -> Request:
        """One request to one process, until its end as the client sees it."""
        world, rng, habits = self._world, self._rng, self._habits
        request = await world.request(
            self._key, streamed=bool(body.get("stream")), model=body["model"], choices=body.get("n", 1)
        )
        request.resumes = rng.random() < habits.resumes
        if rng.random() < habits.hurry:
            request.timeout_s = rng.choice((0.5, 2.0, 9.0))
        leaves_s = rng.choice((0.0, 0.01, 0.05, 0.3, 2.0, 20.0)) if rng.random() < habits.leaves else None
        if rng.random() < habits.deadline:
            request.deadline_s = world.loop.time() + rng.choice((2.5, 4.0, 8.0, 30.0))
        pauses = self._pauses()
        serve = self._serve(
            request, json.dumps(body | {"metadata": {"nonce": request.nonce}}).encode(), pauses
        )
        world.serve(request, serve)
        await asyncio.wait((request.done,), timeout=leaves_s)
        if not request.done.done():
            await self._leave(request)
        world.say(
            "%s got %s, left: %s, %s", world.id_of(request), request.status, request.left, request.body[-500:]
        )
        world.told.check_beginning(request)
        if request.ended and not request.left:
            self._check(request)
            self.answered += request.status == 200
        return request

    def _pauses(self) -> tuple[float, ...]:
        """How long it takes to read a piece."""
        draw, habits = self._rng.random(), self._habits
        if draw < habits.stalls:
            return (0.0, 10_000.0)
        return (0.1, 1.0, 4.0) if draw < habits.stalls + habits.slow else (0.0,)

    async def _leave(self, request: Request) -> None:
        """The gateway may hear of it soon, or when it writes, or never."""
        rng = self._rng
        request.leave()
        if rng.random() < self._habits.cancels and request.serving is not None:
            self._world.loop.call_soon(request.serving.cancel, context=request.process.context)
        elif rng.random() < 0.7:
            self._world.loop.call_later(
                rng.choice((0.0, 0.001, 0.1, 0.9)), request.gone.set, context=request.process.context
            )

    async def _serve(self, request: Request, body: bytes, pauses: tuple[float, ...]) -> None:
        """The server's side of the connection; runs in the process."""
        world, rng = self._world, self._rng
        raises = rng.random() < 0.7  # some servers swallow what is written for nobody

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            await world.hazard()
            if request.left:
                if raises:
                    raise BrokenPipeError
                return
            if pause := rng.choice(pauses):
                await _pause(request, pause, raises=raises)
            if message["type"] == "http.response.start":
                request.status, request.headers = message["status"], dict(message["headers"])
                return
            request.body += message.get("body", b"")
            if request.content_s is None and _SAID.search(request.body):
                request.content_s = world.loop.time()
            request.ended |= not message.get("more_body", False)

        deadline_ms = None
        if request.deadline_s is not None:
            deadline_ms = request.process.clock.now_ms() + int(
                (request.deadline_s - world.loop.time()) * 1000
            )
        headers = [
            (b"authorization", f"Bearer {request.key}".encode()),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        if request.timeout_s is not None:
            headers.append((b"x-sluice-timeout", f"{request.timeout_s}".encode()))
        if not request.resumes:
            headers.append((b"x-sluice-resume", b"off"))
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "headers": headers,
            "sluice": RequestContext(request.process.background, request.gone, deadline_ms),
        }
        with suppress(BrokenPipeError):  # there is nobody to tell
            await request.process.app(scope, receive, send)

    def _check(self, request: Request) -> None:
        """An answer is whole or says what is wrong, and nothing unexpected was wrong."""
        if b"internal_error" in request.body:
            raise Violation(f"internal error: {request}")
        if request.streamed and request.status == 200:
            done, failed = request.body.endswith(_DONE), b'"error"' in request.body
            if done == failed:
                raise Violation(f"a stream ended with [DONE] and an error, or with neither: {request}")
            if done:
                self._world.told.check_whole(request)


async def _pause(request: Request, seconds: float, *, raises: bool) -> None:
    """Wait for a slow client; whoever waits finds out when it leaves."""
    await asyncio.wait((request.leaving,), timeout=seconds)
    if request.left and raises:
        raise BrokenPipeError


def _wait_s(request: Request) -> float | None:
    """How long to wait before asking again; None: not at all."""
    if request.left or (request.ended and request.status not in {429, 503}):
        return None
    if not request.ended:
        return 0.5  # the connection was reset
    if request.headers.get(b"x-should-retry") == b"false":
        return None
    told = request.headers.get(b"retry-after")
    return None if told is None else float(told)
