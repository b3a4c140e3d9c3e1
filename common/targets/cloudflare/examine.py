"""What `sluice doctor` looks at on Cloudflare, besides the stores: KV, and which Workers are deployed."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from common.adapters.cloudflare.namespace import Namespace, NamespaceFailed
from common.model.errors import UpstreamError
from common.providers.examination import Finding, State
from common.targets.cloudflare.wrangler import JOBS_WORKER, worker_name
from common.targets.examination import Check
from common.targets.registry import FUNCTIONS
from common.wire.cloudflare_api import ApiRefused

_PROBE: Final = "doctor:probe"  # no prefix that anything else has
_PROBE_S: Final = 60


async def check_namespace(namespace: Namespace) -> Check:
    """Whether it can be written."""
    try:
        await namespace.put(_PROBE, "written by `sluice doctor`", expires_s=_PROBE_S)
        await namespace.delete(_PROBE)
    except NamespaceFailed as error:
        advice = (
            "See the id of the namespace in wrangler.toml, and that the token has `Workers KV Storage Edit`."
        )
        return Check("namespace", Finding(State.FAILED, f"KV cannot be written ({error}).", advice))
    return Check("namespace", Finding(State.OK, "KV can be written."))


async def check_workers(list_scripts: Callable[[], Awaitable[Any]], name: str, stage: str) -> Check:
    """Whether all are deployed. `list_scripts`: what the account has."""
    try:
        deployed = {script["id"] for script in await list_scripts()}
    except (ApiRefused, UpstreamError) as error:
        advice = "For this check alone the token needs `Workers Scripts Read`."
        return Check("workers", Finding(State.UNKNOWN, f"They cannot be listed ({error}).", advice))
    wanted = [worker_name(name, each, stage) for each in (*FUNCTIONS, JOBS_WORKER)]
    if missing := [each for each in wanted if each not in deployed]:
        advice = "Deploy them: docs/setup/cloudflare.md has the commands."
        return Check("workers", Finding(State.FAILED, f"Not deployed: {', '.join(missing)}.", advice))
    return Check("workers", Finding(State.OK, f"All {len(wanted)} are deployed."))
