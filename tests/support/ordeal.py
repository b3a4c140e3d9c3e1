"""One request to a gateway whose provider misbehaves, and everything that came of it.

seen = await ordeal(stalls_midway, streamed=True, server="idle_timeout_s = 0.2")
assert seen == STALLED
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from common.model.limits import Limit
from common.model.usage import Outcome, UsageRecord
from tests.support.adversary import Script, first
from tests.support.scripted import REQUEST, ScriptedGateway, scripted
from tests.support.wire import Answer

CLOSED_WITHIN_S: Final = 1.0
DONE: Final = b"data: [DONE]\n\n"
BUDGET: Final = MappingProxyType({Limit.BUDGET_TOTAL: 9 * 10**9})


@dataclass(frozen=True, slots=True)
class Seen:
    """What the client, the ledger and the provider saw. A stream without an error has ended with `[DONE]`."""

    status: int
    code: str | None = None  # of the error, in place of an answer or at the end of a stream
    text: str = ""
    outcome: Outcome = Outcome.OK
    estimated: bool = False
    costs: bool = True
    reused: bool = False  # the connection; else it was closed at once


async def ordeal(script: Script, *, streamed: bool, server: str = "") -> Seen:
    """Ask once while the provider plays `script`, then once more while it does not: that must go well."""
    async with scripted(first(script), server=server, overrides=BUDGET) as gateway:
        body = {**REQUEST, "stream": streamed}
        answer = await gateway.chat(body)
        exchange = gateway.provider.exchanges[0]
        await settled(gateway, 1)
        with suppress(TimeoutError):
            await asyncio.wait_for(exchange.left.wait(), 0.05)
        again = await gateway.chat(body)
        assert (again.status, told(again)) == (200, (None, "Hello."))
        _, other = gateway.provider.exchanges
        reused = exchange.connection == other.connection
        if not reused:
            await asyncio.wait_for(exchange.left.wait(), CLOSED_WITHIN_S)
        record, _ = await settled(gateway, 2)
        code, text = told(answer)
        _is_ours(answer)
        return Seen(
            answer.status,
            code,
            text,
            record.outcome,
            record.estimated,
            record.cost_nanousd > 0,
            reused,
        )


async def settled(gateway: ScriptedGateway, count: int) -> Sequence[UsageRecord]:
    """The ledger's entries, of which there must be so many; nothing is held or left to do, and the budget agrees."""
    await gateway.lines(count)
    assert await gateway.background.drain(5) == 0
    records = gateway.held.meter.settled
    assert len(records) == count
    (standing,) = await gateway.held.rows.read(["key:key_test"])
    assert not standing.holds
    assert standing.counts.get("in_flight", 0) == 0
    if standing.counts.get("committed_total"):  # counted only where it is limited
        assert standing.counts["committed_total"] == sum(record.cost_nanousd for record in records)
    return records


def told(answer: Answer) -> tuple[str | None, str]:
    """The code of the error, and the text. A stream that is neither whole nor ends with an error has no meaning."""
    kind = answer.header("content-type") or ""
    if not kind.startswith("text/event-stream"):
        if "error" in answer.json:
            return answer.error["code"], ""
        return None, answer.json["choices"][0]["message"]["content"]
    body, done = answer.body.removesuffix(DONE), answer.body.endswith(DONE)
    assert b"[DONE]" not in body
    events = [json.loads(event[len(b"data: ") :]) for event in body.split(b"\n\n") if event]
    errors = [event["error"]["code"] for event in events if "error" in event]
    assert len(errors) == (not done), "a stream has either an error or [DONE], once"
    deltas = [choice["delta"] for event in events for choice in event.get("choices", ())]
    return (errors or [None])[0], "".join(delta.get("content") or "" for delta in deltas)


def _is_ours(answer: Answer) -> None:
    """No header and no page of the provider's, and an error is in the envelope."""
    assert answer.status != 500
    assert not [name for name, value in answer.headers if "theirs" in name + value]
    assert {"set-cookie", "location", "content-encoding", "alt-svc"}.isdisjoint(
        name for name, _ in answer.headers
    )
    assert b"<html>" not in answer.body
    if answer.status != 200:
        assert answer.error.keys() == {"message", "type", "param", "code"}
