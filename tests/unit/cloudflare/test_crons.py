"""Cron triggers of jobs."""

import pkgutil
from datetime import timedelta
from importlib import import_module

import pytest

import functions
from common.targets.cloudflare.crons import cron_of


@pytest.mark.parametrize(
    ("every", "cron"),
    [
        (timedelta(minutes=1), "*/1 * * * *"),
        (timedelta(minutes=10), "*/10 * * * *"),
        (timedelta(hours=1), "0 * * * *"),
        (timedelta(hours=6), "0 */6 * * *"),
        (timedelta(days=1), "0 0 * * *"),
    ],
)
def test_expression(every: timedelta, cron: str) -> None:
    """What comes so often that an hour or a day is a multiple of it has an expression."""
    assert cron_of(every) == cron


@pytest.mark.parametrize(
    "every", [timedelta(0), timedelta(seconds=90), timedelta(minutes=7), timedelta(days=2)]
)
def test_no_expression(every: timedelta) -> None:
    """What would come at uneven times has none."""
    with pytest.raises(ValueError, match="no cron trigger"):
        cron_of(every)


def test_every_job_has_one() -> None:
    """All jobs that there are can be triggered."""
    modules = [import_module(f"functions.{each.name}") for each in pkgutil.iter_modules(functions.__path__)]
    jobs = [module.job for module in modules if hasattr(module, "job")]
    assert jobs
    assert all(cron_of(job.every) for job in jobs)
