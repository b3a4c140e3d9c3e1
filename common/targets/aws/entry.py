"""`common.targets.aws.entry.<name>`: the handler of each function and job in the package, made when it is asked for."""

import logging
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from common.gateway.gateway import Gateway
from common.http.app import create_app
from common.ports import Upstream
from common.targets.aws.asgi import Application
from common.targets.aws.edge_only import edge_only
from common.targets.aws.handler import Handler
from common.targets.aws.metrics import OF_JOBS
from common.targets.aws.root import open_gateway
from common.targets.aws.unlock import Unlocked
from common.targets.registry import FUNCTIONS, JOBS, function_of, job_of

_log = logging.getLogger("sluice.jobs")


def __getattr__(name: str) -> Handler:
    """PEP 562's. `AttributeError` names the functions that there are."""
    there = (*FUNCTIONS, *JOBS)
    if name not in there:
        raise AttributeError(f"no function {name!r} in this package; there are: {', '.join(there)}")
    return _handler(name)


@cache
def _handler(name: str) -> Handler:
    if name in JOBS:
        return _job(name)
    deployed, function = open_gateway(os.environ), function_of(name)

    def app_on(gateway: Gateway) -> Application:
        return create_app(gateway, [function])

    if deployed.unlocking is None or Upstream not in function.needs:
        app = app_on(deployed.gateway)
    else:
        app = Unlocked(deployed.unlocking, app_on)
    return Handler(edge_only(app, os.environ), deployed)


def _job(name: str) -> Handler:
    """Any event that is no HTTP request triggers it; what comes back is its report."""
    from common.gateway.job import JobContext, run_job  # with what jobs import, which functions do without

    deployed = open_gateway(os.environ)
    job = job_of(name)

    async def trigger(_event: Any) -> Mapping[str, int]:
        gateway = deployed.gateway
        if deployed.unlocking is not None and Upstream in job.needs:
            gateway = await deployed.unlocking.current()
        report = await run_job(job, JobContext(gateway, deployed.rows, deployed.keys))
        counts = {
            OF_JOBS[job.name, what]: count for what, count in report.items() if (job.name, what) in OF_JOBS
        }
        if any(counts.values()):
            _log.warning("job %s found what was not settled in time", job.name, extra={"metrics": counts})
        return report

    return Handler(create_app(deployed.gateway, []), deployed, trigger)
