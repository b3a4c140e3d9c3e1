"""A gateway before two providers of the same model, each played by a script, with an official client."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import openai
from openai.types.chat import ChatCompletionMessageParam

from common.adapters.background import TaskBackground
from common.adapters.upstream.pooled import PooledUpstream
from common.model.principal import DEFAULT_PERMISSIONS
from common.model.usage import UsageRecord
from common.ports import Clock
from tests.support.answers import chunk
from tests.support.gateway import NO_VARIABLES, MemoryGateway, memory_gateway
from tests.support.origin import Exchange, Origin, Script, origin
from tests.support.served import served

ASK: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "Count."}]
WORDS: Final = tuple(f"w{number:02} " for number in range(60))  # of four bytes, as a token is estimated
TEXT: Final = "".join(WORDS)
PAIR: Final = """
[routing]
{routing}
[providers.one]
kind = "openai"
base_url = "{one}/v1"
[providers.two]
kind = "openai"
base_url = "{two}/v1"
[models.pair]
targets = [
  {{ to = "one/vendor/model"{first} }},
  {{ to = "two/{second}"{behind} }},
]
price = {{ input = "1", output = "2" }}
context_length = 10_000
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Everything that a test looks at."""

    client: openai.AsyncOpenAI
    held: MemoryGateway
    one: Origin
    two: Origin
    background: TaskBackground

    async def text(self, **more: object) -> str:
        """The text of one streamed answer, each piece as it came."""
        stream = await self.client.chat.completions.create(
            model="pair",
            messages=ASK,
            stream=True,
            **more,  # type: ignore[call-overload]
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    async def records(self, count: int = 1) -> Sequence[UsageRecord]:
        """Every settlement, once there are `count` and nothing is left to do."""
        async with asyncio.timeout(10):
            while len(self.held.meter.settled) < count:  # noqa: ASYNC110 - the gateway tells nobody that it has settled
                await asyncio.sleep(0.001)
        await self.background.drain(5)
        return self.held.meter.settled

    @property
    def asked(self) -> tuple[int, int]:
        """How often each provider was asked."""
        return len(self.one.exchanges), len(self.two.exchanges)


@asynccontextmanager
async def pair(
    one: Script,
    two: Script,
    *,
    routing: str = "",
    first: str = "",
    second: str = "model",
    behind: str = "",
    permissions: frozenset[str] = DEFAULT_PERMISSIONS,
    settings: str = PAIR,
    variables: Mapping[str, str] = NO_VARIABLES,
    clock: Clock | None = None,
) -> AsyncIterator[Pair]:
    """`routing`: lines of its section. `first`, `behind`: more of each target, `second`: the second's model.

    `settings`: other ones, with the addresses `{one}` and `{two}` in them.
    """
    upstream, background = PooledUpstream(), TaskBackground()
    try:
        async with origin(one) as at_one, origin(two) as at_two:
            toml = settings.format(
                one=at_one.url, two=at_two.url, routing=routing, first=first, second=second, behind=behind
            )
            held = await memory_gateway(toml, upstream, variables, permissions=permissions, clock=clock)
            async with (
                served(held.app(), background) as url,
                openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=held.key, max_retries=0) as client,
            ):
                yield Pair(client, held, at_one, at_two, background)
    finally:
        await upstream.close()


# -- what a provider may do


async def begin(exchange: Exchange) -> None:
    """The head of a stream."""
    await exchange.send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )


async def events(exchange: Exchange, *each: bytes) -> None:
    """Each as a piece of its own."""
    for event in each:
        await exchange.send(b"%x\r\n%b\r\n" % (len(event), event))


def usage(prompt: int, completion: int) -> bytes:
    """The last event but one."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return chunk({}, usage=counts).replace(
        b'"choices": [{"index": 0, "delta": {}, "finish_reason": null}]', b'"choices": []'
    )


def said(*words: str) -> list[bytes]:
    """The role, then each word."""
    return [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in words)]


END: Final = (chunk({}, "stop"), usage(9, len(WORDS)), b"data: [DONE]\n\n")


async def well(exchange: Exchange) -> None:
    """The whole answer, streamed."""
    await begin(exchange)
    await events(exchange, *said(*WORDS), *END)
    await exchange.send(b"0\r\n\r\n")


def failing(status: str, *headers: str, body: bytes = b'{"error":{"message":"no"}}') -> Script:
    """Always this."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(body, status, "content-type: application/json", *headers)

    return script


def in_turn(*scripts: Script) -> Script:
    """One after the other, the last for ever."""
    left = list(scripts)

    async def script(exchange: Exchange) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(exchange)

    return script


async def silent(exchange: Exchange) -> None:
    """Says nothing until the gateway leaves."""
    await exchange.left.wait()


async def reset(exchange: Exchange) -> None:
    """Breaks off before the head."""
    exchange.reset()


def cut_after(count: int) -> Script:
    """The head, so many words, and the connection breaks off."""

    async def script(exchange: Exchange) -> None:
        await begin(exchange)
        await events(exchange, *said(*WORDS[:count]))
        await asyncio.sleep(0.02)  # what is sent is read before the reset
        exchange.reset()

    return script


def stalled_after(count: int) -> Script:
    """The head, so many words, and then nothing."""

    async def script(exchange: Exchange) -> None:
        await begin(exchange)
        await events(exchange, *said(*WORDS[:count]))
        await exchange.left.wait()

    return script
