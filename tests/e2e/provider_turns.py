"""What the provider says in these tests: tool calls, structured answers, several turns, whole and streamed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.support.answers import USAGE, chunk, completion
from tests.support.origin import Exchange
from tests.support.scripted import Script, answering, streaming

FRAGMENT: Final = 5  # characters of arguments in one event
DONE: Final = b"data: [DONE]\n\n"


async def begin(exchange: Exchange, *events: bytes) -> None:
    """The head of a streamed answer, and these events; it is left open."""
    await exchange.send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    await send(exchange, *events)


async def send(exchange: Exchange, *events: bytes) -> None:
    """Each event in a chunk of its own."""
    for event in events:
        await exchange.send(b"%x\r\n%b\r\n" % (len(event), event))


def turns(*scripts: Script) -> Script:
    """A provider that plays one after another, an exchange each."""
    left = iter(scripts)

    async def script(exchange: Exchange) -> None:
        await next(left)(exchange)

    return script


def called(name: str, calls: Sequence[Mapping[str, Any]]) -> Sequence[dict[str, Any]]:
    """Calls of one tool, as an answer has them."""
    return [
        {
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for i, arguments in enumerate(calls)
    ]


def calling(name: str, calls: Sequence[Mapping[str, Any]], *, streamed: bool) -> Script:
    """A provider that calls a tool so often, with these arguments; streamed, they come in fragments."""
    if streamed:
        return streaming(_call_events(called(name, calls)))
    message = {"role": "assistant", "content": None, "tool_calls": called(name, calls)}
    return answering(completion(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}]))


def saying(*words: str, streamed: bool) -> Script:
    """A provider that says these words, streamed or in one piece."""
    if not streamed:
        return answering(completion("".join(words)))
    return streaming([_first(), *(chunk({"content": word}) for word in words), *_last("stop")])


def refusing(message: str) -> Script:
    """A provider whose model will not answer."""
    said = {"role": "assistant", "content": None, "refusal": message}
    return answering(completion(choices=[{"index": 0, "message": said, "finish_reason": "stop"}]))


def _call_events(calls: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """As OpenAI streams them: a call's id and name first, then its arguments, bit by bit."""
    events = [_first()]
    for i, call in enumerate(calls):
        function = call["function"]
        arguments = function["arguments"]
        opening = {**call, "index": i, "function": {"name": function["name"], "arguments": ""}}
        events.append(chunk({"tool_calls": [opening]}))
        for start in range(0, len(arguments), FRAGMENT):
            part = {"index": i, "function": {"arguments": arguments[start : start + FRAGMENT]}}
            events.append(chunk({"tool_calls": [part]}))
    return [*events, *_last("tool_calls")]


def _first() -> bytes:
    return chunk({"role": "assistant", "content": ""})


def _last(finish_reason: str) -> list[bytes]:
    return [chunk({}, finish_reason), chunk({}, None, choices=[], usage=USAGE), DONE]
