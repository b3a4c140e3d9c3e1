"""The job that asks providers for a token, where nobody else has asked of late or a breaker is not closed."""

from datetime import timedelta

from common.gateway.job import Job, JobContext, JobReport
from common.gateway.watch import watch
from common.ports import BreakerStore, Clock, Upstream


async def run(context: JobContext) -> JobReport:
    """Ask them, where the configuration wants it: each costs something."""
    if not context.gateway.settings.routing.probe:
        return {}
    answered, failed = await watch(context.gateway)
    return {"answered": answered, "failed": failed}


job = Job(name="probe", every=timedelta(minutes=5), run=run, needs=(Upstream, BreakerStore, Clock))
