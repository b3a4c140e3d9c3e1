"""The job that books expired holds of keys and users that do not come back.

An admission books those that it comes across. Money does not wait for either: what is held is committed until then.
"""

from datetime import timedelta

from common.gateway.job import Job, JobContext, JobReport
from common.metering.rows import Rows
from common.metering.sweeper import sweep
from common.ports import Clock, KeyStore


async def run(context: JobContext) -> JobReport:
    """Book them."""
    return {"booked as spent": await sweep(context.rows, context.keys, context.gateway.clock)}


job = Job(name="sweep", every=timedelta(hours=1), run=run, needs=(Rows, KeyStore, Clock))
