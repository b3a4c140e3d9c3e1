"""`relay`: what is noted of a stream whose client goes while it is waited for."""

import asyncio

import pytest

from common.adapters.background import TaskBackground
from common.gateway.delivery import EventStream, Headers
from common.gateway.relay import relay
from common.model.errors import ClientLeft, UpstreamBroken
from common.providers.continuation import Sent
from common.providers.openai_stream import ChatStream
from tests.support.answers import USAGE, stream

EVENTS = stream("One", "two", "three")


class Provider:
    """An `UpstreamResponse` whose answer comes in these pieces, and then breaks or says nothing more."""

    status = 200

    def __init__(self, *pieces: bytes, breaks: bool = False) -> None:
        self.headers: dict[str, str] = {}
        self._pieces = list(pieces)
        self._breaks = breaks

    async def read(self) -> bytes:
        """See `UpstreamResponse`."""
        if self._pieces:
            return self._pieces.pop(0)
        if self._breaks:
            raise UpstreamBroken("It broke.")
        await asyncio.Event().wait()
        return b""


class Client:
    """An `Out` that goes away at its first write, or does not read at all."""

    started = False

    def __init__(self, *, stalls: bool) -> None:
        self._stalls = stalls

    async def start(self, status: int, headers: Headers) -> None:
        """See `Out`."""

    async def write(self, data: bytes) -> None:
        """See `Out`."""
        if self._stalls:
            await asyncio.Event().wait()
        raise ClientLeft("The client is gone.")

    async def end(self, data: bytes = b"") -> None:
        """See `Out`."""
        await self.write(data)


async def run(provider: Provider, *, stalls: bool) -> ChatStream:
    """Relay until the client has gone, or is given up; what is known of the answer then."""
    answer = ChatStream(show_usage=False)
    client = EventStream(Client(stalls=stalls), TaskBackground(), list, lambda: None, silence_s=60)
    try:
        with pytest.raises((ClientLeft, TimeoutError)):
            async with asyncio.timeout(0.01 if stalls else None):
                await relay(provider, answer, client, on_first=lambda: None, most_tokens=None)
    finally:
        client.stop()
    return answer


@pytest.mark.parametrize("stalls", [False, True], ids=["left", "stalled"])
async def test_what_had_come_is_on_the_bill(*, stalls: bool) -> None:
    """What the provider had sent when its client went is counted, and its usage known: it charges for that."""
    answer = await run(Provider(*EVENTS), stalls=stalls)
    assert answer.done
    assert answer.usage == USAGE


@pytest.mark.parametrize("breaks", [False, True], ids=["silent", "broken"])
async def test_what_will_not_come_is_not_waited_for(*, breaks: bool) -> None:
    """The rest of a stream that is still being made, or has broken, keeps nobody: what is known, is known."""
    answer = await run(Provider(*EVENTS[:3], breaks=breaks), stalls=False)
    assert (answer.events, answer.usage) == (3, None)


async def test_what_goes_out_is_kept_before() -> None:
    """Who is to go on with a stream knows of the last words, too, even if their sending was broken off."""
    sent = Sent()
    client = EventStream(Client(stalls=True), TaskBackground(), list, lambda: None, silence_s=60)
    answer = ChatStream(show_usage=False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await relay(Provider(*EVENTS), answer, client, on_first=lambda: None, most_tokens=None, sent=sent)
    client.stop()
    said = sent.said()
    assert said is not None
    assert said.text == "One"
