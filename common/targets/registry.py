"""What there is in `functions/`, by name, without importing it: endpoints to serve, and jobs to trigger."""

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Final

import functions

if TYPE_CHECKING:  # the one loads the web framework, the other half the gateway
    from common.gateway.job import Job
    from common.http.function import Function

JOBS: Final = ("probe", "reconcile", "repair", "sweep")
"""Modules that export `job`. All the others export `function`."""

FUNCTIONS: Final = tuple(
    sorted(module.name for module in pkgutil.iter_modules(functions.__path__) if module.name not in JOBS)
)


def function_of(name: str) -> "Function":
    """One of `FUNCTIONS`."""
    function: Function = import_module(f"functions.{name}").function
    return function


def job_of(name: str) -> "Job":
    """One of `JOBS`."""
    job: Job = import_module(f"functions.{name}").job
    return job
