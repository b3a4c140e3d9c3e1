"""Providers that break off, stall, flood and frame wrongly: what the client sees, what is booked, when they are left.

Each row holds for a streamed answer and for one in one piece. In every row the provider is asked once, the next
request is answered well, and a connection on which something was wrong is closed and not used again.
"""

import asyncio
import json
import tracemalloc
from dataclasses import replace
from typing import Final

import pytest

from common.gateway import delivery
from common.model.usage import Outcome
from tests.support import adversary as wire
from tests.support import adversary_framing as framing
from tests.support.adversary import Script
from tests.support.ordeal import BUDGET, Seen, ordeal, settled
from tests.support.origin import Exchange
from tests.support.scripted import CHAT, REQUEST, scripted
from tests.support.wire import connected, request

SOUND: Final = Seen(200, text="Hello.", reused=True)
BROKEN: Final = Seen(502, "provider_error", outcome=Outcome.UPSTREAM, estimated=True)
SILENT: Final = replace(BROKEN, status=504, code="provider_timeout")
BUSY: Final = Seen(429, "provider_rate_limited", outcome=Outcome.UPSTREAM, costs=False)
CUT: Final = replace(BROKEN, status=200, text="Hel")
STALLED: Final = replace(SILENT, status=200, text="Hel")
ALONE: Final = replace(SOUND, reused=False)  # sound, but for what becomes of the connection

# the time that is short is the only one that matters in its row
HEAD: Final = "first_byte_timeout_s = 0.2"
IDLE: Final = "idle_timeout_s = 0.3"
TOTAL: Final = "total_timeout_s = 0.5"

ROWS: Final[dict[str, tuple[Script, str, Seen, Seen]]] = {
    # script, times, streamed, in one piece
    "sound": (wire.sound, "", SOUND, SOUND),
    "resets before headers": (wire.resets_before_headers, "", BROKEN, BROKEN),
    "resets after headers": (wire.resets_after_headers, "", BROKEN, BROKEN),
    "resets midway": (wire.resets_midway, "", CUT, BROKEN),
    "resets in an event": (wire.resets_in_an_event, "", CUT, BROKEN),
    "closes before headers": (wire.closes_before_headers, "", BROKEN, BROKEN),
    "closes midway": (wire.closes_midway, "", CUT, BROKEN),
    "ends midway": (wire.ends_midway, "", replace(CUT, reused=True), replace(BROKEN, reused=True)),
    # of a stream the protocol's own end counts
    "ends without the last chunk": (wire.ends_without_the_last_chunk, "", ALONE, BROKEN),
    "ends with the connection": (wire.ends_with_the_connection, "", ALONE, ALONE),
    "ends too early with the connection": (wire.ends_too_early_with_the_connection, "", CUT, BROKEN),
    "stalls before headers": (wire.stalls_before_headers, HEAD, SILENT, SILENT),
    "stalls after headers": (wire.stalls_after_headers, IDLE, SILENT, SILENT),
    "stalls midway": (wire.stalls_midway, IDLE, STALLED, SILENT),
    "stalls behind the end": (wire.stalls_behind_the_end, IDLE, ALONE, SILENT),
    "fails and stalls": (wire.fails_and_stalls, IDLE, BUSY, BUSY),
    "fails and closes": (wire.fails_and_closes, "", BUSY, BUSY),
    "fails endlessly": (wire.fails_endlessly, "", BUSY, BUSY),
    "dribbles headers": (wire.dribbles_headers, HEAD, SILENT, SILENT),
    "dribbles headers, in total": (wire.dribbles_headers, TOTAL, SILENT, SILENT),
    "trickles comments": (wire.trickles_comments, TOTAL, SILENT, SILENT),
    "sends a long line": (wire.sends_a_long_line, "", BROKEN, BROKEN),
    "sends endless headers": (wire.sends_endless_headers, "", BROKEN, BROKEN),
    "sends a huge header": (wire.sends_a_huge_header, "", BROKEN, BROKEN),
    "sends endless interim answers": (wire.sends_endless_interim_answers, "", BROKEN, BROKEN),
    "sends endless comments": (wire.sends_endless_comments, "", BROKEN, BROKEN),
    "sends a bomb": (wire.sends_a_bomb, "", BROKEN, BROKEN),
    "compresses": (wire.compresses, "", BROKEN, BROKEN),
    "length too long": (framing.length_too_long, "", ALONE, BROKEN),
    "length too short": (framing.length_too_short, "", BROKEN, BROKEN),
    "two lengths": (framing.two_lengths, "", BROKEN, BROKEN),
    "length and chunks": (framing.length_and_chunks, "", BROKEN, BROKEN),
    "chunk size overflow": (framing.chunk_size_overflow, "", BROKEN, BROKEN),
    "chunk size garbage": (framing.chunk_size_garbage, "", BROKEN, BROKEN),
    "unknown coding": (framing.unknown_coding, "", ALONE, BROKEN),
    "speaks something else": (framing.speaks_something_else, "", BROKEN, BROKEN),
    "switches protocols": (framing.switches_protocols, "", BROKEN, BROKEN),
    "answers unasked": (framing.answers_unasked, "", ALONE, ALONE),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("script", "server", "stream", "whole"), ROWS.values(), ids=ROWS)
async def test_row(script: Script, server: str, stream: Seen, whole: Seen, *, streamed: bool) -> None:
    """The client is told what became of its answer, the ledger books it, the provider is left."""
    assert await ordeal(script, streamed=streamed, server=server) == (stream if streamed else whole)


async def test_trickle() -> None:
    """A stream that never stalls is ended when its time in total is over; what came until then was passed on."""
    seen = await ordeal(wire.trickles, streamed=True, server=TOTAL)
    assert replace(seen, text="Hel") == STALLED
    assert seen.text.startswith("Hello.lo.")


async def test_trickle_of_spaces() -> None:
    """So is an answer in one piece whose end is put off."""
    assert await ordeal(wire.trickles, streamed=False, server=TOTAL) == SILENT


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_second_answer(*, streamed: bool) -> None:
    """An answer that nobody asked for reaches nobody, and its connection is closed."""
    seen = await ordeal(framing.answers_twice, streamed=streamed)
    assert not seen.reused
    assert seen.text == "Hello." or seen == BROKEN  # by whether both came in one read


FLOODS: Final = {
    "long line": (wire.sends_a_long_line, 24, 96),
    "bomb": (wire.sends_a_bomb, 4, 4),
    "endless headers": (wire.sends_endless_headers, 4, 4),
    "endless comments": (wire.sends_endless_comments, 24, 96),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("script", "stream_mib", "whole_mib"), FLOODS.values(), ids=FLOODS)
async def test_memory(script: Script, stream_mib: int, whole_mib: int, *, streamed: bool) -> None:
    """No flood takes more memory than its bound: 4 MiB of an event, 32 MiB of an answer in one piece."""
    async with scripted(script) as gateway:
        await gateway.send("GET", "/v1/models", gateway.bearer)  # what is made once is made
        tracemalloc.start()
        try:
            answer = await gateway.chat({**REQUEST, "stream": streamed})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        (exchange,) = gateway.provider.exchanges
        await asyncio.wait_for(exchange.left.wait(), 1)
    assert answer.status == 502
    assert peak < (stream_mib if streamed else whole_mib) * 2**20


# -- the client leaves


async def comes_and_waits(exchange: Exchange) -> None:
    """A stream of which the rest is not to come."""
    await wire.begin(exchange, wire.CHUNKED)
    await wire.piece(exchange, wire.half_for(exchange))
    await exchange.left.wait()


async def comes_on(exchange: Exchange) -> None:
    """A word after the other."""
    await wire.begin(exchange, wire.CHUNKED)
    while not exchange.left.is_set():
        await wire.piece(exchange, wire.EVENTS[2])
        await asyncio.sleep(wire.DRIP_S)


async def comes_faster_than_anybody_reads(exchange: Exchange) -> None:
    """As many words as are taken."""
    await wire.begin(exchange, wire.CHUNKED)
    while not exchange.left.is_set():
        await wire.piece(exchange, wire.EVENTS[2] * 100)


LEAVING: Final = {
    # script, streamed, what the client waits for before it leaves
    "before headers": (wire.stalls_before_headers, True, b""),
    "before headers, whole": (wire.stalls_before_headers, False, b""),
    "before the first byte": (wire.stalls_after_headers, True, b""),
    "before the first byte, whole": (wire.stalls_after_headers, False, b""),
    "midway, while the provider is silent": (comes_and_waits, True, b"Hel"),
    "midway, whole": (comes_and_waits, False, b""),
    "midway, while the provider sends": (comes_on, True, b"lo."),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(("script", "streamed", "until"), LEAVING.values(), ids=LEAVING)
async def test_client_leaves(script: Script, until: bytes, how: str, *, streamed: bool) -> None:
    """The provider's connection is closed within a second of the client's, and what was made is settled, once."""
    async with scripted(wire.first(script), overrides=BUDGET) as gateway:
        body = json.dumps({**REQUEST, "stream": streamed}).encode()
        async with connected(gateway.url) as client:
            await client.send(request("POST", CHAT, gateway.bearer, body=body))
            await asyncio.wait_for(gateway.provider.arrived.wait(), 5)
            if until:
                await client.read_until(until)
            if how == "reset":
                client.reset()
        (exchange,) = gateway.provider.exchanges
        await asyncio.wait_for(exchange.left.wait(), 1)
        (record,) = await settled(gateway, 1)
        assert (record.outcome, record.estimated, record.cost_nanousd > 0) == (Outcome.CANCELLED, True, True)
        assert bool(record.tokens.output) == bool(until)
        again = await gateway.chat(REQUEST)
        assert again.status == 200
        assert gateway.provider.exchanges[1].connection != exchange.connection


async def test_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stays and takes nothing is given up like one that left: its provider is not held for ever."""
    monkeypatch.setattr(delivery, "STALLED_S", 0.2)
    playing = scripted(comes_faster_than_anybody_reads, server="keep_alive_s = 0.1")
    async with playing as gateway, connected(gateway.url) as client:
        # a model whose context is not known: its streams are not cut
        body = json.dumps({**REQUEST, "model": "twice", "stream": True}).encode()
        await client.send(request("POST", CHAT, gateway.bearer, body=body))
        async with asyncio.timeout(10):
            await gateway.provider.arrived.wait()
            await gateway.provider.exchanges[0].left.wait()
        (record,) = await settled(gateway, 1)
    assert record.outcome == Outcome.CANCELLED
