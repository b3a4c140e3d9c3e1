"""Each provider, each of its keys, and each model that is to be had from it. All are asked at once."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from socket import gaierror
from typing import Final

from common.adapters.clock import SystemClock
from common.model.errors import SluiceError, UpstreamBroken, UpstreamTimeout
from common.ports import Clock, Timeouts, Upstream, UpstreamRequest
from common.providers.examination import (
    MAX_BYTES,
    Finding,
    State,
    find_model,
    key_request,
    models_request,
    read_key,
    read_models,
)
from common.providers.provider import Provider, provider_of
from common.settings import ProviderKind, ProviderSettings, Settings
from common.settings.mistakes import toml_key
from common.settings.models import STAR
from common.targets.examination import Check

WITHIN_S: Final = 5.0
START_WITHIN_S: Final = 30.0  # of the embedded model, from a slow disk
MOST_SKEW_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back, and by how much this clock is ahead of its sender's, where that is told."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ahead_s: float | None


@dataclass(frozen=True, slots=True)
class _Examined:
    """A provider. `listed` None: it has told of no models."""

    keys: Sequence[Check]
    listed: frozenset[str] | None
    ahead_s: Sequence[float]


async def check_providers(settings: Settings, upstreams: Mapping[str, Upstream]) -> list[Check]:
    """Providers first, then models, then the clock. `upstreams`: the ways to the providers, by their names."""
    clock = SystemClock()
    examining = (_examine(each, upstreams[name], clock) for name, each in settings.providers.items())
    examined = dict(zip(settings.providers, await asyncio.gather(*examining), strict=True))
    checks = [check for each in examined.values() for check in each.keys]
    for model in settings.models.values():
        for target in model.targets if STAR not in model.name else ():
            provider = provider_of(settings.providers[target.provider])
            finding = _find(provider, target.model, examined[target.provider].listed)
            checks.append(Check(f"model {model.name}", finding))
    ahead = [each for found in examined.values() for each in found.ahead_s]
    return [*checks, Check("clock", find_skew(min(ahead, key=abs)))] if ahead else checks


def _find(provider: Provider, model: str, listed: frozenset[str] | None) -> Finding:
    if listed is None:
        return Finding(State.UNKNOWN, f"{provider.name} has told of no models, so {model} is not looked for.")
    if provider.kind is ProviderKind.EMBEDDED:
        return Finding(State.OK, f"{provider.name} answers by any name.")
    return find_model(provider, model, listed)


async def _examine(settings: ProviderSettings, upstream: Upstream, clock: Clock) -> _Examined:
    """Each of its keys, and its models by the first of them, which is the one that is used."""
    keys = settings.api_keys or (None,)
    providers = [provider_of(replace(settings, api_keys=(key,) if key else ())) for key in keys]
    within_s = _within_s(settings.kind)
    timeouts = Timeouts(within_s, within_s, within_s, within_s)
    requests = [key_request(each, timeouts) for each in providers] + [models_request(providers[0], timeouts)]
    once = list(dict.fromkeys(requests))  # where a key is tried by asking for the models
    told = dict(zip(once, await asyncio.gather(*(_ask(upstream, each, clock) for each in once)), strict=True))
    *answers, models = (told[each] for each in requests)
    name = f"provider {toml_key(settings.name)}"
    checks = []
    for index, (provider, answer) in enumerate(zip(providers, answers, strict=True), start=1):
        if isinstance(answer, _Answer):
            finding = read_key(provider, answer.status, answer.headers, answer.body)
        else:
            finding = _failure(provider, answer)
        checks.append(Check(f"{name}, key {index}" if len(providers) > 1 else name, finding))
    listed = read_models(models.status, models.body) if isinstance(models, _Answer) else None
    ahead = [each.ahead_s for each in told.values() if isinstance(each, _Answer)]
    return _Examined(checks, listed, [each for each in ahead if each is not None])


def _within_s(kind: ProviderKind) -> float:
    return START_WITHIN_S if kind is ProviderKind.EMBEDDED else WITHIN_S


async def _ask(upstream: Upstream, request: UpstreamRequest, clock: Clock) -> _Answer | SluiceError:
    try:
        async with asyncio.timeout(request.timeouts.total_s), upstream.send(request) as response:
            ahead_s = _ahead_s(response.headers.get("date"), clock.now_ms())
            pieces: list[bytes] = []
            size = 0
            while piece := await response.read():
                size += len(piece)
                if size > MAX_BYTES:
                    return UpstreamBroken("The provider's answer is too long.")
                pieces.append(piece)
            return _Answer(response.status, response.headers, b"".join(pieces), ahead_s)
    except TimeoutError:
        return UpstreamTimeout("The provider did not answer in time.")
    except SluiceError as error:
        return error


def _failure(provider: Provider, error: SluiceError) -> Finding:
    """Why there is no answer, with what the system says of it."""
    match error.__cause__ or error:
        case gaierror():
            why = "its name is not known here"
        case ConnectionRefusedError():
            why = "nothing listens there"
        case ssl.SSLError():
            why = "its certificate, or its TLS, is not accepted"
        case TimeoutError() | UpstreamTimeout():
            why = f"there is no answer within {_within_s(provider.kind):.0f} s"
        case _:
            return Finding(State.FAILED, error.message, _look_at(provider))
    return Finding(State.FAILED, f"It cannot be reached: {why}.", _look_at(provider))


def _look_at(provider: Provider) -> str:
    if provider.kind is ProviderKind.EMBEDDED:
        return "Is it installed? `make install` does that; or configure another provider."
    return f"Is {provider.base_url} right, and may this machine connect to it?"


def _ahead_s(date: str | None, now_ms: int) -> float | None:
    """By how much this clock is ahead of the one that wrote the `date` header."""
    try:
        told = parsedate_to_datetime(date or "")
    except (ValueError, OverflowError):
        return None
    return now_ms / 1000 - (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()


def find_skew(ahead_s: float) -> Finding:
    """Whether this clock is right: by it, keys expire and days and months of budgets begin."""
    if abs(ahead_s) <= MOST_SKEW_S:
        return Finding(State.OK, "It agrees with the providers' to the minute.")
    direction = "ahead of" if ahead_s > 0 else "behind"
    said = f"It is {abs(ahead_s):,.0f} s {direction} the providers'."
    return Finding(State.FAILED, said, "Set it, by NTP at best: budgets and the ends of keys go by it.")
