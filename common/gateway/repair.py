"""Settling records that became dead letters: no principal is at hand, so the rows that there are say what to book."""

from typing import Final

from common.metering.rows import Rows
from common.metering.standing import EMPTY
from common.model.admission import Admission, Ask
from common.model.limits import UNLIMITED, Headroom, Limits
from common.model.principal import Principal
from common.model.usage import UsageRecord
from common.ports import Meter

_BOUND: Final = Limits(max_parallel=0)  # any limit will do: settling asks for none


async def settle_again(meter: Meter, rows: Rows, record: UsageRecord) -> None:
    """Book `record` in its key's and its user's row, where they have one; done twice it counts once."""
    key_row, user_row = await rows.read([f"key:{record.key_id}", f"user:{record.user}"])
    principal = Principal(
        key_id=record.key_id,
        user=record.user,
        permissions=frozenset(),
        key_limits=UNLIMITED if key_row == EMPTY else _BOUND,
        user_limits=UNLIMITED if user_row == EMPTY else _BOUND,
    )
    ask = Ask(record.request_id, principal, record.started_ms, record.held_tokens, record.held_nanousd)
    admission = Admission(ask, record.held_nanousd, record.sub_window, Headroom(None, None))
    await meter.settle(admission, record)
