"""`common.targets.aws.entry.<name>`: the handler of each function and job in the package, made when it is asked for."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from common.http.app import create_app
from common.targets.aws.handler import Handler
from common.targets.aws.root import open_gateway
from common.targets.registry import FUNCTIONS, JOBS, function_of, job_of


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
    deployed = open_gateway(os.environ)
    return Handler(create_app(deployed.gateway, [function_of(name)]), deployed)


def _job(name: str) -> Handler:
    """Any event that is no HTTP request triggers it; what comes back is its report."""
    from common.gateway.job import JobContext, run_job  # with what jobs import, which functions do without

    deployed = open_gateway(os.environ)
    job, context = job_of(name), JobContext(deployed.gateway, deployed.rows, deployed.keys)

    async def trigger(_event: Any) -> Mapping[str, int]:
        return await run_job(job, context)

    return Handler(create_app(deployed.gateway, []), deployed, trigger)
