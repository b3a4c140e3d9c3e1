"""Whether what is deployed answers."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from common.adapters.upstream.pooled import PooledUpstream
from common.model.errors import UpstreamError
from common.ports import Timeouts, Upstream, UpstreamRequest
from common.providers.examination import Finding, State
from common.routing.breaker import BreakerState
from common.targets.examination import Check, find_breakers

_TIMEOUTS: Final = Timeouts(connect_s=5.0, first_byte_s=20.0, idle_s=10.0, total_s=30.0)  # with a cold start
_MOST_BYTES: Final = 2**20
_ALIVE: Final = "It is alive."


async def check_urls(urls: Sequence[str], key: str | None = None) -> list[Check]:
    """All at once. The address may end in `/v1`. `key`: of an administrator, who is told more."""
    upstream = PooledUpstream()
    try:
        findings = await asyncio.gather(*(_ask(upstream, url, "/health", None) for url in urls))
        checks = [Check(f"url {url}", finding) for url, finding in zip(urls, findings, strict=True)]
        if key is not None:
            alive = [check.name.removeprefix("url ") for check in checks if check.finding.said == _ALIVE]
            findings = await asyncio.gather(*(_ask(upstream, url, "/health/ready", key) for url in alive))
            checks += [Check(f"ready {url}", finding) for url, finding in zip(alive, findings, strict=True)]
    finally:
        await upstream.close()
    return checks


async def _ask(upstream: Upstream, url: str, path: str, key: str | None) -> Finding:
    asked = f"{url.rstrip('/').removesuffix('/v1')}{path}"
    headers = () if key is None else (("authorization", f"Bearer {key}"),)
    body = b""
    try:
        async with upstream.send(UpstreamRequest("GET", asked, headers, b"", _TIMEOUTS)) as response:
            while len(body) < _MOST_BYTES and (piece := await response.read()):
                body += piece
            if key is not None:
                return read_readiness(body)
            return read_health(response.status, response.headers.get("x-request-id"), body)
    except UpstreamError:
        return Finding(State.FAILED, "Nothing answers there.", "Is it deployed, and is this its address?")


def read_readiness(body: bytes) -> Finding:
    """What the answer to `GET /health/ready` says, whose checks and breakers only an administrator is told."""
    try:
        told = json.loads(body)
        problems = [f"{check['name']}: {check['problem']}" for check in told["checks"] if not check["ok"]]
        states = {(each["provider"], each["model"]): BreakerState(each["state"]) for each in told["breakers"]}
        models = [str(name) for name in told["degraded"]]
    except (ValueError, KeyError, TypeError):
        return Finding(
            State.UNKNOWN,
            "It does not tell us more.",
            "Has the key the permission `admin`, and is it this gateway's?",
        )
    if problems:
        return Finding(State.FAILED, f"It is not ready. {' '.join(problems)}", "Its log says more.")
    found = find_breakers(states, models)
    return replace(found, said=f"It is ready. {found.said}")


def read_health(status: int, request_id: str | None, body: bytes) -> Finding:
    """What the answer to `GET /health` says. A function that serves other paths answers 404, as ours do."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if status == 200 and told == {"status": "ok"}:
        return Finding(State.OK, _ALIVE)
    is_ours = request_id is not None and isinstance(told, dict) and "error" in told
    if status == 404 and is_ours:
        return Finding(State.OK, "A function answers there, another one than that of /health.")
    if status == 403:
        return Finding(
            State.FAILED,
            "It is refused (403).",
            "Ask at the base URL: a function's own may answer its content delivery network only.",
        )
    if status >= 500:
        return Finding(
            State.FAILED,
            f"It fails ({status}).",
            "The function's log says why: most often a mistake in sluice.toml, or a variable that is not set.",
        )
    return Finding(State.FAILED, f"Something else answers there ({status}).", "Is this its address?")
