"""The job that asks providers what they charged for answers whose end nobody saw, and corrects what was booked."""

from common.gateway.job import Job, JobContext, JobReport
from common.gateway.reconciliation import EVERY, reconcile
from common.metering.rows import Rows
from common.ports import Clock, Upstream


async def run(context: JobContext) -> JobReport:
    """Ask for all that is still awaited."""
    gateway = context.gateway
    corrected, given_up, left = await reconcile(gateway.routes, context.rows, gateway.clock)
    return {"corrected": corrected, "given up": given_up, "left": left}


job = Job(name="reconcile", every=EVERY, run=run, needs=(Rows, Upstream, Clock))
