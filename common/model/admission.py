"""Admission: what a request asks of the meter before anything is sent upstream, and what it was granted."""

from typing import Final

from common.model.ids import RequestId
from common.model.limits import Headroom, Limit
from common.model.principal import Principal
from common.model.record import record

HOLD_S: Final = 3_600  # after which an unsettled hold counts as abandoned: longer than any answer may take


@record()
class Ask:
    """One request at the door, with the most that it may use. Its id tells when its hold expires."""

    request_id: RequestId
    principal: Principal
    now_ms: int
    tokens: int  # as estimated: of the input, and the most output
    cost_nanousd: int  # of one attempt at the dearest candidate


@record()
class Admission:
    """A request that was admitted. It must be settled once, and is by `Meter.settle`."""

    ask: Ask
    held_nanousd: int  # more than asked for, once it was extended
    sub_window: int  # of the meter, in which it is booked
    headroom: Headroom  # what the meter would decide next
    booked: bool = (
        True  # False: nothing is held, for there is no limit, or its storage fails and the plan allows it
    )
    observed: tuple[Limit, ...] = ()  # limits that would have refused it, were they not only observed
