"""Whether the gateway can do its part: what `GET /health/ready` finds out.

Providers are not asked: a probe every few seconds would be a load. One of them failing, or all of them, is no reason to
take a gateway away: another one would fare no better. What is known of them is told besides.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request

from common.gateway.gateway import Gateway
from common.http.request import gateway_of, principal_of
from common.model.errors import SluiceError, StorageUnavailable
from common.model.ids import KeyId
from common.model.principal import Permission
from common.routing.availability import degraded, keys_of
from common.routing.breaker import BreakerState

WITHIN_S: Final = 2.0
_NOBODY: Final = KeyId("key_ready")  # an id that is never given


@dataclass(frozen=True, slots=True)
class Need:
    """Something without which no request can be answered. `problem`: what is wrong, where something is."""

    name: str
    ms: float
    problem: str | None


async def needs_of(request: Request) -> tuple[list[Need], bool]:
    """All of them, looked at within two seconds, and whether the caller may know: whether its key has `admin`."""
    gateway = gateway_of(request)
    storage, is_admin = await asyncio.gather(_storage(gateway), _is_admin(request))
    providers = Need("providers", 0.0, None if gateway.settings.models else "No model is configured.")
    return [storage, providers], is_admin


async def providers_of(request: Request, *, ask_others: bool) -> dict[str, Any]:
    """Breakers that are not closed, and models that have no other, within two seconds. `ask_others`: of instances."""
    gateway = gateway_of(request)
    troubled = await _troubled(gateway) if ask_others else gateway.health.troubled(gateway.clock.now_ms())
    breakers = [
        {"provider": provider, "model": model, "state": state}
        for (provider, model), state in sorted(troubled.items())
    ]
    return {"breakers": breakers, "degraded": degraded(gateway.settings, troubled)}


async def _troubled(gateway: Gateway) -> Mapping[tuple[str, str], BreakerState]:
    """What is known here, and at other instances where they can be asked."""
    now_ms = gateway.clock.now_ms()
    if gateway.sharing is not None:
        with suppress(StorageUnavailable, TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                return await gateway.sharing.troubled(keys_of(gateway.settings), now_ms)
    return gateway.health.troubled(now_ms)


async def _storage(gateway: Gateway) -> Need:
    """Whether it takes a cheap read."""
    began, problem = gateway.clock.monotonic(), None
    try:
        async with asyncio.timeout(WITHIN_S):
            await gateway.authenticator.keys.get(_NOBODY)
    except StorageUnavailable as error:
        problem = error.message
    except TimeoutError:
        problem = f"It does not answer within {WITHIN_S:.0f} s."
    return Need("storage", round((gateway.clock.monotonic() - began) * 1000, 1), problem)


async def _is_admin(request: Request) -> bool:
    """No is also the answer where that can't be known just now."""
    try:
        async with asyncio.timeout(WITHIN_S):
            await principal_of(request, Permission.ADMIN)
    except (SluiceError, TimeoutError):
        return False
    return True
