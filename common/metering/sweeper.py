"""The sweep: expired holds of principals that may not come back, booked as spent, with a record for each.

What an admission does for its own rows (`meter.py`) is done here for all, row by row. A key's row and its user's have
the same hold; each is booked once, and the first leaves the record. Plans are guarded by the holds that they remove, so
a settlement, an admission or another sweep that comes first leaves nothing to book, and the row is looked at again.
"""

from contextlib import suppress
from typing import Final

from common.metering import decision
from common.metering.abandoned import abandoned_record
from common.metering.meter import TRIES
from common.metering.plan import Plan
from common.metering.rows import Change, Records, Rows
from common.metering.standing import Standing
from common.model.errors import StorageContended
from common.model.ids import KeyId, RequestId, UserId
from common.model.usage import UsageRecord
from common.ports import Clock, KeyStore

_KEY: Final = "key:"
_USER: Final = "user:"


async def sweep(rows: Rows, keys: KeyStore, clock: Clock) -> int:
    """Book every hold that has expired by now; of how many requests. What was done before a failure stays done."""
    sweeper = _Sweeper(rows, keys, clock.now_ms())
    after = ""
    while page := await rows.expired(sweeper.now_ms, after):
        for name, standing in page:
            with suppress(StorageContended):  # a row that others change so fast is swept by them
                await sweeper.sweep_row(name, standing)
        after = page[-1][0]
    return len(sweeper.swept)


class _Sweeper:
    """One run."""

    def __init__(self, rows: Rows, keys: KeyStore, now_ms: int) -> None:
        self.now_ms = now_ms
        self.swept: set[RequestId] = set()
        self._rows = rows
        self._keys = keys

    async def sweep_row(self, name: str, standing: Standing) -> None:
        """Until the row has no expired hold. After a failure somebody else has booked one of them, or extended it."""
        failures = 0
        while failures < TRIES and (plan := decision.sweep(standing, self.now_ms)).swept:
            records = await self._records(name, plan)
            outcome = await self._rows.apply([Change(name, plan)], Records(abandoned=records))
            (standing,) = outcome.standings
            if outcome.applied:
                self.swept.update(hold.id for hold in plan.swept)
            else:
                failures += 1

    async def _records(self, name: str, plan: Plan) -> tuple[UsageRecord, ...]:
        """Of what a plan sweeps. A user's row does not know the key; the key's says it when its turn comes."""
        key_id, user = KeyId(""), UserId(name.removeprefix(_USER))
        if name.startswith(_KEY):
            key_id = KeyId(name.removeprefix(_KEY))
            user = await self._user_of(key_id)
        return tuple(abandoned_record(hold, key_id, user) for hold in plan.swept)

    async def _user_of(self, key_id: KeyId) -> UserId:
        """Whose key it is; of a deleted one only its user's row still knows."""
        record = await self._keys.get(key_id)
        return UserId("") if record is None else record.user
