"""The edge: what holds for a request however it ends."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from common.adapters.background import TaskBackground
from common.adapters.memory import MemoryRows
from common.gateway import settlement
from common.gateway.context import Gone, RequestContext
from common.metering.rows import Change, Outcome, Records
from common.metering.standing import COMMITTED_TOTAL, IN_FLIGHT
from common.model.errors import StorageUnavailable
from common.model.ids import KeyId
from common.model.limits import Limit
from tests.support.gateway import memory_gateway
from tests.support.scripted import CHAT, PROVIDERS, REQUEST, LogLines, logging_to


class Stuck:
    """A provider that never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def send(self, _request: object) -> Any:
        """See `Upstream.send`."""
        return self

    async def __aenter__(self) -> None:
        self.asked.set()
        await asyncio.get_running_loop().create_future()

    async def __aexit__(self, *_: object) -> None:
        """Leaving closes nothing."""


async def test_cancelled_request() -> None:
    """A request that the platform cancels is settled, told as cancelled, and stays cancelled."""
    upstream, background, lines = Stuck(), TaskBackground(), LogLines()
    held = await memory_gateway(PROVIDERS.format(url="http://x"), upstream, {"KEY": "k"})
    body = json.dumps(dict(REQUEST)).encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(_: Any) -> None:
        raise AssertionError("nobody is there")

    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "headers": [(b"authorization", f"Bearer {held.key}".encode())],
        "sluice": RequestContext(background, Gone()),
    }
    with logging_to(lines):
        request = asyncio.ensure_future(held.app()(scope, receive, send))
        await upstream.asked.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    await background.drain(5)
    [record], [line] = held.meter.settled, map(json.loads, lines.json)
    assert (
        (record.outcome, record.key_id)
        == (line["outcome"], line["key_id"])
        == ("cancelled", KeyId("key_test"))
    )
    assert line["status"] == 499


class Unheard(MemoryRows):
    """A storage whose first answer does not come: it is slow, or lost."""

    def __init__(self, *, lost: bool) -> None:
        super().__init__()
        self.written = asyncio.Event()
        self._lost = lost

    async def apply(self, changes: Sequence[Change], records: Records) -> Outcome:
        """See `Rows.apply`."""
        outcome = await super().apply(changes, records)
        if not self.written.is_set():
            self.written.set()
            if self._lost:
                raise StorageUnavailable("lost")
            await asyncio.get_running_loop().create_future()
        return outcome


@pytest.mark.parametrize("lost", [False, True], ids=["cancelled meanwhile", "reply lost"])
async def test_admitted_without_hearing_so(monkeypatch: pytest.MonkeyPatch, *, lost: bool) -> None:
    """A request that was admitted and never heard so gives back what it held, and leaves no record."""
    monkeypatch.setattr(settlement, "IN_FLIGHT_S", 0.0)
    rows, background = Unheard(lost=lost), TaskBackground()
    provider = PROVIDERS.format(url="http://x")
    held = await memory_gateway(provider, Stuck(), {"KEY": "k"}, overrides={Limit.BUDGET_TOTAL: 10**9})
    monkeypatch.setattr(held.meter, "_rows", rows)
    body = json.dumps({**REQUEST, "max_tokens": 5}).encode()
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "headers": [(b"authorization", f"Bearer {held.key}".encode())],
        "sluice": RequestContext(background, Gone()),
    }
    request = asyncio.ensure_future(held.app()(scope, receive, send))
    await rows.written.wait()
    counts = rows.standings["key:key_test"].counts
    assert counts[IN_FLIGHT] == 1
    if not lost:
        request.cancel()
    await asyncio.wait([request])
    assert statuses[:1] == ([503] if lost else [])
    assert await background.drain(5) == 0
    counts = rows.standings["key:key_test"].counts
    assert (counts[COMMITTED_TOTAL], counts[IN_FLIGHT]) == (0, 0)
    assert (rows.records, held.meter.settled) == ({}, [])
