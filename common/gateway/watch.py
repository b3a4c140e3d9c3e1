"""Watching targets that nobody asks: what a probe finds goes to `Health`, and to the other instances.

A target is asked where no request went there of late, or where its breaker is not closed and its rest is over. It is
asked again until that tells something: a closed breaker wants one answer, or failures that open it; a half-open one
wants several answers. The embedded model is left alone: it is here, and would have to be started.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from common.gateway.gateway import Gateway
from common.gateway.probe import Probed, probe
from common.model.errors import UpstreamError
from common.model.price import PICO_PER_NANO, usd_text
from common.routing.availability import candidates_of
from common.routing.backoff import pause_s
from common.routing.breaker import VOLUME
from common.routing.candidates import Candidate
from common.routing.recourse import recourse
from common.settings import ProviderKind

AT_ONCE: Final = 8
MOST_TRIES: Final = VOLUME + 1  # in a row: the first are forgotten a little when the last fails
_PATIENCE_S: Final = 60.0

_log = logging.getLogger("sluice.probe")


async def watch(gateway: Gateway) -> tuple[int, int]:
    """Ask whom it is worth asking: how many have answered at last, and how many have not."""
    due = await _due(gateway)
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(candidate: Candidate) -> bool:
        async with turns:
            return await _examine(gateway, candidate)

    answered = sum(await asyncio.gather(*map(one, due)))
    if due and gateway.sharing is not None:
        await gateway.sharing.share(gateway.clock.now_ms())
    return answered, len(due) - answered


async def _due(gateway: Gateway) -> Sequence[Candidate]:
    health, now_ms = gateway.health, gateway.clock.now_ms()
    remote = {
        (each.target.provider, each.target.model): each
        for each in candidates_of(gateway.settings)
        if gateway.settings.providers[each.target.provider].kind is not ProviderKind.EMBEDDED
    }
    asked = set(health.recent(now_ms))
    if gateway.sharing is not None:
        await gateway.sharing.hear(remote, now_ms)
    troubled = health.troubled(now_ms)
    return [
        candidate
        for key, candidate in remote.items()
        if (health.admits(candidate.target, now_ms) if key in troubled else key not in asked)
    ]


async def _examine(gateway: Gateway, candidate: Candidate) -> bool:
    """Whether it has answered at last."""
    target, spent_s = candidate.target, 0.0
    key = target.provider, target.model
    for tries in range(1, MOST_TRIES + 1):
        probed = await _asked(gateway, candidate, is_first=tries == 1)
        spent_s += probed.took_s
        error, is_troubled = probed.error, key in gateway.health.troubled(gateway.clock.now_ms())
        if error is None and not is_troubled:
            return True
        if error is not None:
            if is_troubled or not recourse(error).blames_provider:
                return False
            wait_s = pause_s(
                tries,
                gateway.rng.random(),
                spent_s=spent_s,
                remaining_s=_PATIENCE_S - spent_s,
                alone=True,
                retry_after_s=error.retry_after_s if isinstance(error, UpstreamError) else None,
                retries=MOST_TRIES - 1,
            )
            if wait_s is None:
                return False
            await asyncio.sleep(wait_s)
            spent_s += wait_s
    return error is None


async def _asked(gateway: Gateway, candidate: Candidate, *, is_first: bool) -> Probed:
    """One probe, of which `Health` hears, and the log."""
    target, clock, health = candidate.target, gateway.clock, gateway.health
    began = health.started(target, clock.now_ms(), retry=not is_first)
    probed = await probe(gateway.routes[target.provider], candidate, clock)
    health.ended(target, began, clock.now_ms(), None if probed.error is None else recourse(probed.error))
    known = probed.cost_nanousd
    _log.info(
        "probe of %s: %s in %.0f ms, %s",
        candidate.to,
        probed.ended,
        probed.took_s * 1000,
        "its cost is not known" if known is None else f"{usd_text(known * PICO_PER_NANO)} USD",
    )
    return probed
