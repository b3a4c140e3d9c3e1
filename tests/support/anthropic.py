"""Anthropic's Messages API as a test plays it: as strict about requests as the real one, where that is documented.

async with anthropic_origin(answering("tool_use")) as provider: ...
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.origin import Exchange, Script

FIXTURES: Final = Path(__file__).parents[1] / "unit/providers/anthropic"
MEMBERS: Final = frozenset(
    {
        *("model", "messages", "max_tokens", "system", "metadata", "stop_sequences", "stream", "temperature"),
        *("top_k", "top_p", "tools", "tool_choice", "thinking", "output_config", "cache_control"),
    }
)
VERSION: Final = "2023-06-01"
Play = Callable[[Exchange, Any], Awaitable[None]]


def messages_api(play: Play, *, keys: Sequence[str] = ("sk-ant-1",)) -> Script:
    """Refuses what the API would refuse, and lets `play` answer the rest, with the request as JSON."""

    async def script(exchange: Exchange) -> None:
        asked = exchange.asked
        if asked.values("x-api-key") not in [[key] for key in keys]:
            return await fail(exchange, "401 Unauthorized", "authentication_error", "invalid x-api-key")
        if (asked.method, asked.target) != ("POST", "/v1/messages"):
            return await fail(exchange, "404 Not Found", "not_found_error", "Not found")
        body = json.loads(asked.body)
        wrong = (
            _wrong(body) if asked.values("anthropic-version") == [VERSION] else "anthropic-version: required"
        )
        if wrong:
            return await fail(exchange, "400 Bad Request", "invalid_request_error", wrong)
        return await play(exchange, body)

    return script


def answering(*names: str) -> Play:
    """Gives the recorded answers by these names, one after the other, the last one for ever: whole or streamed."""
    left = list(names)

    async def play(exchange: Exchange, body: Any) -> None:
        name = left.pop(0) if len(left) > 1 else left[0]
        if not body.get("stream"):
            answer = (FIXTURES / f"answers/{name}.json").read_bytes()
            await exchange.answer(answer, "200 OK", "content-type: application/json", "request-id: req_011")
            return
        await exchange.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nrequest-id: req_011\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for event in (FIXTURES / f"streams/{name}.sse").read_bytes().split(b"\n\n")[:-1]:
            await exchange.send(b"%x\r\n%b\n\n\r\n" % (len(event) + 2, event))
        await exchange.send(b"0\r\n\r\n")

    return play


async def fail(exchange: Exchange, status: str, kind: str, message: str, *headers: str) -> None:
    """Answer with an error."""
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011"}
    body = json.dumps(error).encode()
    await exchange.answer(body, status, "content-type: application/json", "request-id: req_011", *headers)


def _wrong(body: Any) -> str | None:
    """What is wrong with a request; None where nothing is."""
    if unknown := sorted(body.keys() - MEMBERS):
        return f"{unknown[0]}: Extra inputs are not permitted"
    if type(body.get("max_tokens")) is not int:
        return "max_tokens: Field required"
    roles = [turn["role"] for turn in body["messages"]]
    if not roles or roles != [("user", "assistant")[place % 2] for place in range(len(roles))]:
        return 'messages: roles must alternate between "user" and "assistant"'
    blocks = [*body.get("system", []), *(block for turn in body["messages"] for block in turn["content"])]
    if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
        return "messages: text content blocks must contain non-whitespace text"
    for before, turn in zip([None, *body["messages"]], body["messages"], strict=False):
        results = [block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"]
        calls = [
            block["id"] for block in (before or {"content": []})["content"] if block["type"] == "tool_use"
        ]
        if results != calls:
            return "messages: each `tool_use` block must have a corresponding `tool_result` block in the next"
    budget = body.get("thinking", {}).get("budget_tokens")
    fits = budget is None or 1_024 <= budget < body["max_tokens"]
    return None if fits else "thinking.budget_tokens: out of range"
