"""`make bench-cloudflare`: the Workers in Pyodide in Node, on workerd's D1 and KV; what they take, and what they keep.

CPU is that of the Node process: Pyodide, and beside it Node's own server and `fetch`, which on the platform are not
ours. So `/health`, which does next to nothing in Python, is measured beside. The key has limits: each completion is
admitted and settled in D1.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

from tests.edge.deployed import END, HEAD, Deployed, chunked, deployed, whole
from tests.support import answers
from tests.support.origin import Exchange
from tests.support.wire import connected, request

REQUESTS: Final = 1_000
LEFT: Final = 500
STREAMS: Final = 10
EVENTS: Final = 500
WARM: Final = 50
BEAT_S: Final = 0.001
MOST_GROWTH_MIB: Final = 1.0
_CHAT: Final = {"model": "hello", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 600}

Work = Callable[[], Awaitable[None]]


class Workers:
    """A deployment, and what its process has used."""

    def __init__(self, world: Deployed, key: str) -> None:
        self.world = world
        self._process = psutil.Process(world.edge.pid)
        self._lines = (f"authorization: Bearer {key}", "content-type: application/json")

    async def ask(self, path: str = "/v1/chat/completions", **more: object) -> None:
        """One request, over a connection of its own."""
        is_chat = path.startswith("/v1")
        body = json.dumps(_CHAT | more).encode() if is_chat else b""
        async with connected(self.world.edge.url) as wire:
            await wire.send(request("POST" if is_chat else "GET", path, *self._lines, body=body))
            answer = await wire.answer()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.body[:200]!r}")

    async def leave(self) -> None:
        """A stream, left after its first event."""
        body = json.dumps(_CHAT | {"stream": True}).encode()
        async with connected(self.world.edge.url) as wire:
            await wire.send(request("POST", "/v1/chat/completions", *self._lines, body=body))
            await wire.read_until(b"one")

    async def cpu_ms(self, times: int, work: Work) -> float:
        """Of the process, for each time; with what is left to the background."""
        before = sum(self._process.cpu_times()[:2])
        for _ in range(times):
            await work()
        await self.world.drain()
        used: float = sum(self._process.cpu_times()[:2]) - before
        return used / times * 1e3

    async def kept(self) -> dict[str, float]:
        """What is there while nobody asks; memory in MiB."""
        left = await self.world.drain()
        return {
            "memory": left["memory"] / 2**20,
            **{name: left[name] for name in ("objects", "proxies", "timers")},
        }


def streaming(events: int, beat_s: float | None) -> Callable[[Exchange], Awaitable[None]]:
    """A provider that streams so many events, together or one by one."""

    async def script(exchange: Exchange) -> None:
        pieces = [answers.chunk({"content": "one "})] * events
        end = (answers.chunk({}, "stop"), answers.chunk({}, None, choices=[], usage=answers.USAGE))
        await exchange.send(HEAD)
        for piece in [b"".join(pieces)] if beat_s is None else pieces:
            await exchange.send(chunked(piece))
            await asyncio.sleep(beat_s or 0)
        await exchange.send(chunked(*end, b"data: [DONE]\n\n"), END)

    return script


async def _endless(exchange: Exchange) -> None:
    await exchange.send(HEAD, chunked(answers.chunk({"content": "one "})))
    await exchange.left.wait()


async def main() -> int:
    """The exit status: 1 where memory grows."""
    with tempfile.TemporaryDirectory() as folder:
        async with deployed(Path(folder)) as world:
            client = await world.client(requests_per_day=1_000_000)
            workers = Workers(world, client.api_key)
            print(f"import of all Workers' modules    {world.edge.import_ms:8.0f} ms")
            await world.play(whole)
            await workers.cpu_ms(WARM, workers.ask)
            first = await workers.kept()
            health = await workers.cpu_ms(REQUESTS, lambda: workers.ask("/health"))
            print(f"CPU of /health                    {health:8.2f} ms")
            print(f"CPU of a completion               {await workers.cpu_ms(REQUESTS, workers.ask):8.2f} ms")
            answered = await workers.kept()
            for name, beat_s in (("together", None), ("one by one", BEAT_S)):
                await world.play(streaming(EVENTS, beat_s))
                each = await workers.cpu_ms(STREAMS, lambda: workers.ask(stream=True)) / EVENTS
                print(f"CPU of a streamed event, {name:10} {each:7.3f} ms")
            await world.play(_endless)
            print(f"CPU of a stream that is left      {await workers.cpu_ms(LEFT, workers.leave):8.2f} ms")
            left = await workers.kept()
    print(f"\n{'':34}{'memory':>8} {'objects':>8} {'proxies':>8} {'timers':>8}")
    for name, kept in (
        (f"after {WARM} completions", first),
        (f"after {REQUESTS} more", answered),
        (f"after {LEFT} streams that were left", left),
    ):
        print(
            f"{name:34}{kept['memory']:5.1f} MiB {kept['objects']:7} {kept['proxies']:8} {kept['timers']:8}"
        )
    grown = left["memory"] - first["memory"]
    if grown > MOST_GROWTH_MIB:
        print(f"memory has grown by {grown:.1f} MiB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
