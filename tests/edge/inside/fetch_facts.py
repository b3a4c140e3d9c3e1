"""What `FetchUpstream` makes of a real server's answers and misbehaviour, over the platform's own `fetch`."""

import asyncio

import stage  # type: ignore[import-not-found] # given by harness.mjs

from common.adapters.cloudflare.fetch import FetchUpstream
from common.model.errors import UpstreamError
from common.ports import Timeouts, UpstreamRequest

_PATIENCE = Timeouts(connect_s=10, first_byte_s=10, idle_s=10)
_HASTE = Timeouts(connect_s=0.1, first_byte_s=0.1, idle_s=0.1)
_HASTE_IN_TOTAL = Timeouts(connect_s=10, first_byte_s=10, idle_s=10, total_s=0.2)
_HEADERS = (("authorization", "Bearer k"), ("x-twice", "1"), ("x-twice", "2"))


async def gather() -> dict[str, object]:
    """One entry for each way an exchange can go."""
    url, deserted = stage.origin.url, stage.origin.deserted
    impatient = {
        path: await _outcome(_request(url + path, timeouts=_HASTE)) for path in ("/silent", "/stalled")
    }
    patient = {
        path: await _outcome(_request(url + path))
        for path in ("/pieces", "/gzip", "/moved", "/empty", "/cut", "/hang-up")
    }
    return {
        **impatient,
        **patient,
        "/trickle": await _outcome(_request(f"{url}/trickle", timeouts=_HASTE_IN_TOTAL)),
        "get": await _outcome(_request(f"{url}/empty", method="GET")),
        "deserted": await _outcome(_request(deserted)),
        "not an address": await _outcome(_request("nowhere")),
        "not a header": await _outcome(_request(url, headers=(("x-a", "a\nb"),))),
        "asked": stage.origin.asked.to_py(),
        "left early": await _left("/endless"),
        "cancelled": await _cancelled("/endless-too"),
    }


def _request(
    url: str,
    *,
    method: str = "POST",
    headers: tuple[tuple[str, str], ...] = _HEADERS,
    timeouts: Timeouts = _PATIENCE,
) -> UpstreamRequest:
    return UpstreamRequest(method, url, headers, b'{"a": 1}' if method == "POST" else b"", timeouts)


async def _outcome(request: UpstreamRequest) -> dict[str, object]:
    facts: dict[str, object] = {}
    pieces: list[str] = []
    try:
        async with FetchUpstream().send(request) as response:
            facts |= {"status": response.status, "headers": dict(response.headers)}
            while piece := await response.read():
                pieces.append(piece.decode())
    except UpstreamError as error:
        facts["error"] = type(error).__name__
    return facts | {"pieces": pieces}


async def _left(path: str) -> bool:
    """Whether the server learns that the caller stopped after the first piece."""
    async with FetchUpstream().send(_request(stage.origin.url + path)) as response:
        await response.read()
    return bool(await asyncio.wait_for(stage.origin.left(path), 10))


async def _cancelled(path: str) -> bool:
    """Whether the server learns that the caller was cancelled in a pending read."""
    reading = asyncio.Event()

    async def call() -> None:
        async with FetchUpstream().send(_request(stage.origin.url + path)) as response:
            await response.read()
            reading.set()
            await response.read()

    task = asyncio.create_task(call())
    await asyncio.wait_for(reading.wait(), 10)
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled() and bool(await asyncio.wait_for(stage.origin.left(path), 10))
