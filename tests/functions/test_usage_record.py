"""What the record of a request tells beside its amounts: which attempts, for whom, as part of what, and how long."""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import pytest

from common.model.limits import Limit
from common.model.usage import Booked, Outcome, UsageRecord
from tests.support.answers import completion, stream
from tests.support.origin import Exchange
from tests.support.records import misbooked
from tests.support.scripted import (
    CHAT,
    REQUEST,
    ScriptedGateway,
    answering,
    scripted,
    streaming,
)
from tests.support.wire import connected, request

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT: Final = f"traceparent: 00-{TRACE}-b7ad6b7169203331-01"
TWICE: Final = {**REQUEST, "model": "twice"}
END_USERS: Final = 'end_user_key = "env:KEY"'
Script = Callable[[Exchange], Awaitable[None]]


async def settled(gateway: ScriptedGateway) -> UsageRecord:
    """The one record, once it is written; its sums are right."""
    await gateway.background.drain(5)
    [record] = gateway.held.meter.settled
    assert misbooked(record) is None
    assert await gateway.held.rows.find(record.request_id) == record
    return record


async def recorded(
    body: Mapping[str, Any], *lines: str, script: Script | None = None, server: str = ""
) -> tuple[UsageRecord, Any]:
    """The record of a request, and its line in the log."""
    async with scripted(script, server=server) as gateway:
        await gateway.chat(body, *lines)
        [line] = await gateway.lines()
        return await settled(gateway), line


# -- the route ---------------------------------------------------------------------------------------------------------


def by_address(**scripts: Script) -> Script:
    """A provider that plays another script for each model that it is asked for."""

    async def script(exchange: Exchange) -> None:
        await scripts[json.loads(exchange.asked.body)["model"]](exchange)

    return script


async def close(exchange: Exchange) -> None:
    """Break off before any answer."""
    exchange.close()


@pytest.mark.parametrize("streamed", [False, True])
async def test_route(*, streamed: bool) -> None:
    """Each attempt is told in its order: who was asked, how it ended, how long it took, what it is booked with."""

    async def answer(exchange: Exchange) -> None:
        await asyncio.sleep(0.02)
        await (streaming(stream("Hello")) if streamed else answering(completion()))(exchange)

    script = by_address(first=answering(b"{}", "503 Service Unavailable"), second=answer)
    record, line = await recorded({**TWICE, "stream": streamed}, script=script)
    failed, answered = record.route
    assert (failed.provider, failed.model, failed.ended) == ("one", "first", "provider_error")
    assert (answered.model, answered.ended, answered.booked) == ("second", "ok", Booked.USAGE)
    assert (answered.tokens, answered.provider_request_id) == (record.tokens, "chatcmpl-1")
    assert (failed.provider_request_id, record.provider_request_id) == (None, "chatcmpl-1")
    assert 20 <= answered.took_ms <= record.total_ms
    assert record.gateway_us is not None
    assert record.storage_us is not None
    assert 0 < record.storage_us < record.gateway_us < (record.total_ms - 19) * 1_000
    assert line["attempts"] == record.attempts == 2


async def test_prices() -> None:
    """The prices that an attempt was booked at are told, so that its cost can be computed again."""
    record, _ = await recorded(REQUEST)
    [attempt] = record.route
    assert attempt.prices is not None
    assert (attempt.prices.input, attempt.prices.output, attempt.request_price) == (1_000_000, 2_000_000, 0)
    assert attempt.cost_nanousd == record.cost_nanousd == 13_000


async def test_whole_hold() -> None:
    """An answer that never came whole is booked with all that was held, and its attempt says so."""
    async with scripted(close, overrides={Limit.BUDGET_TOTAL: 10**9}) as gateway:
        await gateway.chat({**REQUEST, "max_tokens": 50})
        record = await settled(gateway)
    [attempt] = record.route
    assert (attempt.booked, attempt.ended) == (Booked.HOLD, "provider_error")
    assert attempt.cost_nanousd == record.cost_nanousd == record.held_nanousd > 0
    assert record.estimated


async def test_client_left() -> None:
    """An attempt whose client did not wait is told as cancelled."""
    asked = asyncio.Event()

    async def silent(exchange: Exchange) -> None:
        asked.set()
        await exchange.left.wait()

    async with scripted(silent) as gateway:
        async with connected(gateway.url) as wire:
            await wire.send(request("POST", CHAT, gateway.bearer, body=json.dumps(dict(REQUEST)).encode()))
            await asked.wait()
        await gateway.lines()
        record = await settled(gateway)
    assert (record.outcome, [attempt.ended for attempt in record.route]) == (Outcome.CANCELLED, ["cancelled"])


@pytest.mark.parametrize(
    ("script", "streamed", "told"),
    [
        (answering(completion(id="gen-1")), False, "gen-1"),
        (answering(completion(id="gen-1"), "200 OK", "x-generation-id: gen-2"), False, "gen-1"),
        (answering(completion(id=None), "200 OK", "x-generation-id: gen-2"), False, "gen-2"),
        (answering(b"{", "200 OK", "x-generation-id: gen-2"), False, "gen-2"),
        (answering(completion(id="a\u0000b")), False, None),
        (answering(completion(id="x" * 200)), False, None),
        (answering(completion(id={"a": 1})), False, None),
        (streaming(stream("Hel", "lo")), True, "chatcmpl-1"),
        (streaming(stream("Hel", "lo")[:2]), True, "chatcmpl-1"),
    ],
    ids=[
        "whole",
        "both",
        "header",
        "header of a broken one",
        "NUL",
        "long",
        "object",
        "stream",
        "broken stream",
    ],
)
async def test_providers_id(script: Script, told: str | None, *, streamed: bool) -> None:
    """The provider's own id is kept, of what it broke off as well, for whoever asks there what it charged."""
    record, _ = await recorded({**REQUEST, "stream": streamed}, script=script)
    assert record.provider_request_id == told


# -- for whom, and as part of what -------------------------------------------------------------------------------------


async def test_session_and_trace() -> None:
    """The client's session and trace are in the record and in the log, and stay out of what the provider is sent."""
    async with scripted() as gateway:
        await gateway.chat(REQUEST, "x-session-id: chat-7", TRACEPARENT)
        [line] = await gateway.lines()
        record = await settled(gateway)
        [exchange] = gateway.provider.exchanges
    assert (record.session_id, record.trace_id) == ("chat-7", TRACE)
    assert (line["session_id"], line["trace_id"]) == ("chat-7", TRACE)
    assert not exchange.asked.values("x-session-id") + exchange.asked.values("traceparent")
    assert json.loads(exchange.asked.body).keys() == REQUEST.keys()


@pytest.mark.parametrize(
    ("lines", "members", "session"),
    [
        ((), {"session_id": "chat-8"}, "chat-8"),
        (("x-session-id: chat-7",), {"session_id": "chat-8"}, "chat-7"),
        ((), {"session_id": "a\r\nb\u202e sk-sluice-0123456789"}, "a\ufffd\ufffdb\ufffd [hidden]"),
        ((), {"session_id": "x" * 5_000}, "x" * 128),
        ((), {"session_id": ""}, None),
        ((), {"session_id": None}, None),
        ((), {}, None),
    ],
    ids=["member", "header wins", "unfit", "long", "empty", "null", "none"],
)
async def test_session(lines: tuple[str, ...], members: dict[str, Any], session: str | None) -> None:
    """A session comes by OpenRouter's header or its member, which goes on; what is kept of it is fit to be kept."""
    async with scripted() as gateway:
        await gateway.chat({**REQUEST, **members}, *lines)
        [line] = await gateway.lines()
        record = await settled(gateway)
        [exchange] = gateway.provider.exchanges
    assert record.session_id == line["session_id"] == session
    assert {"session_id": json.loads(exchange.asked.body).get("session_id")} == {
        "session_id": None,
        **members,
    }


async def test_trace_of_a_refusal() -> None:
    """The line of a request that is not even read tells its trace."""
    async with scripted() as gateway:
        await gateway.send("POST", CHAT, TRACEPARENT, "x-session-id: chat-7")
        [line] = await gateway.lines()
    assert (line["status"], line["trace_id"], line["session_id"]) == (401, TRACE, "chat-7")


@pytest.mark.parametrize(
    ("members", "person"),
    [
        ({"user": "ada"}, b"ada"),
        ({"safety_identifier": "grace"}, b"grace"),
        ({"user": "ada", "safety_identifier": "grace"}, b"grace"),
        ({"user": "ada", "safety_identifier": ""}, b"ada"),
        ({"user": ""}, None),
        ({}, None),
    ],
    ids=["user", "safety_identifier", "both", "one is empty", "empty", "none"],
)
async def test_end_user(members: dict[str, str], person: bytes | None) -> None:
    """Whom the client asks for is recorded as a hash by the configured key, and nowhere in the clear."""
    record, line = await recorded({**REQUEST, **members}, server=END_USERS)
    key = b"provider-secret-3141592653"
    assert record.end_user == (person and hmac.digest(key, person, "sha256").hex()[:32])
    assert not {"ada", "grace"} & set(json.dumps(line).split('"'))
    assert "ada" not in repr(record)


async def test_no_key_no_end_user() -> None:
    """Without a key to hash with, nothing is recorded of the end user."""
    record, _ = await recorded({**REQUEST, "user": "ada"})
    assert record.end_user is None
    assert "ada" not in repr(record)


async def test_refused_by_a_limit() -> None:
    """What a limit refuses leaves no record; its line says that a limit did it."""
    async with scripted(overrides={Limit.REQUESTS_PER_DAY: 0}) as gateway:
        await gateway.chat(REQUEST)
        [line] = await gateway.lines()
        await gateway.background.drain(5)
        assert gateway.held.meter.settled == []
    assert line["outcome"] == "limit"
