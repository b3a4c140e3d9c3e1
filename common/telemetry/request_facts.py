"""What there is to tell of one request, gathered while it is answered."""

from dataclasses import dataclass

from common.model.ids import KeyId, RequestId, UserId
from common.model.limits import Limit
from common.model.usage import Outcome, UsageRecord


@dataclass(slots=True)
class RequestFacts:
    """One request. Times are in seconds, counted from when the gateway first saw it."""

    request_id: RequestId
    client_request_id: str | None  # printable ASCII
    method: str
    path: str  # without the query; as the client chose it
    session_id: str | None = None  # prints, and is no key
    trace_id: str | None = None  # 32 hexadecimal digits
    status: int = 0  # 0: nothing was answered
    error: str | None = None  # the code in the envelope
    outcome: Outcome = Outcome.OK
    key_id: KeyId | None = None  # where a key was accepted
    user: UserId | None = None
    model: str | None = None  # as the client asked for it
    record: UsageRecord | None = None  # what is settled, where the request was admitted
    route: str | None = (
        None  # candidates in their order, and who was skipped for what; None: there was one alone
    )
    observed: tuple[Limit, ...] = ()  # limits that would have refused it, were they not only observed
    waited_s: float = 0.0  # on others: the client's body, the providers
    first_byte_s: float | None = None  # to status and headers
    total_s: float = 0.0

    @property
    def gateway_s(self) -> float:
        """The gateway's own share, storage included: all but the waiting on others."""
        return max(0.0, self.total_s - self.waited_s)
