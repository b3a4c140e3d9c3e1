"""Admission: what a request asks of the meter before anything is sent upstream, and what it holds afterwards."""

from dataclasses import dataclass

from common.model.ids import RequestId
from common.model.principal import Principal


@dataclass(frozen=True, slots=True)
class Ask:
    """One request at the door."""

    request_id: RequestId
    principal: Principal
    now_ms: int
    expires_ms: int  # when an unsettled hold counts as abandoned


@dataclass(frozen=True, slots=True)
class Hold:
    """A granted admission. It must be settled once, and is by `Meter.settle`."""

    ask: Ask
