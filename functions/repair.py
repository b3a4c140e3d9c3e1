"""The job that settles the usage records that the meter did not take when they were made."""

from datetime import timedelta

from common.gateway.job import Job, JobContext, JobReport
from common.gateway.repair import settle_again
from common.metering.rows import Rows
from common.ports import LetterBox, Meter


async def run(context: JobContext) -> JobReport:
    """Deliver the dead letters."""
    if context.letters is None:
        return {}
    meter, rows = context.gateway.meter, context.rows
    settled, left = await context.letters.deliver(lambda record: settle_again(meter, rows, record))
    return {"settled": settled, "left": left}


job = Job(name="repair", every=timedelta(minutes=10), run=run, needs=(LetterBox, Meter, Rows))
