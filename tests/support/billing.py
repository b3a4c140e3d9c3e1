"""A provider that streams as the test lets it, keeps its own account, and tells later what it charged.

It goes on without its client, as some of OpenRouter's providers do: `answered` has what it would put on its invoice.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.answers import USAGE, chunk, completion
from tests.support.origin import Exchange

GENERATION: Final = "gen-1790000000-abc"
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-generation-id: %b\r\nconnection: close\r\n\r\n"
)


@dataclass
class BillingProvider:
    """The script of an origin, and what it is told to do."""

    words: int = 5
    id: str = GENERATION
    go_on: asyncio.Event = field(
        default_factory=asyncio.Event
    )  # after the first word, or before a whole answer
    told: dict[str, Any] | None = None  # what `GET /generation` says; None: 404
    status: str = "200 OK"  # of that
    asked_for: list[str] = field(default_factory=list)  # ids
    finished: asyncio.Event = field(default_factory=asyncio.Event)  # the answer is sent, whoever reads it
    left_early: bool = False  # the connection was closed before

    async def __call__(self, exchange: Exchange) -> None:
        """Play."""
        if exchange.asked.method == "GET":
            await self._tell(exchange)
        elif json.loads(exchange.asked.body).get("stream"):
            await self._stream(exchange)
        else:
            await self.go_on.wait()
            self.left_early = exchange.left.is_set()
            await exchange.answer(
                completion("word " * self.words, id=self.id), "200 OK", "content-type: application/json"
            )
            self.finished.set()

    async def _tell(self, exchange: Exchange) -> None:
        path, _, id_ = exchange.asked.target.partition("?id=")
        assert path.endswith("/generation")
        self.asked_for.append(id_)
        if self.told is None:
            await exchange.answer(b'{"error":{"code":404,"message":"Generation not found"}}', "404 Not Found")
        else:
            await exchange.answer(json.dumps({"data": {"id": id_, **self.told}}).encode(), self.status)

    async def _stream(self, exchange: Exchange) -> None:
        await exchange.send(_HEAD % self.id.encode(), self._event("word"))
        await self.go_on.wait()
        self.left_early = exchange.left.is_set()
        try:
            for _ in range(self.words - 1):
                await exchange.send(self._event("word"))
            await exchange.send(
                chunk({}, "stop", id=self.id), chunk({}, None, id=self.id, choices=[], usage=USAGE)
            )
            await exchange.send(b"data: [DONE]\n\n")
            exchange.close()
        finally:
            self.finished.set()

    def _event(self, word: str) -> bytes:
        return chunk({"content": word}, id=self.id)


def generation(prompt: Any = 9, completion: Any = 5, cost: Any = 0.0001, **more: Any) -> dict[str, Any]:
    """What a provider tells of a generation."""
    counts = {"native_tokens_prompt": prompt, "native_tokens_completion": completion}
    return {**counts, "native_tokens_reasoning": None, "total_cost": cost, "cancelled": True, **more}
