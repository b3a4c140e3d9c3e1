"""A principal's row with little ceremony: requests that are admitted and settled one after the other."""

from common.metering.apply import apply
from common.metering.decision import Actual, Ask, admit, settle
from common.metering.plan import Plan
from common.metering.standing import EMPTY, Hold, Standing
from common.model.ids import BASE36, RequestId, in_base
from common.model.limits import Limits, Refused

MIDNIGHT = 1_798_761_600_000  # 2027-01-01 UTC: a new day, a new month, a new sub-window
NOON = MIDNIGHT - 43_200_000


def hold_id(expires_ms: int, nth: int = 0) -> RequestId:
    """The nth id of a hold that expires at `expires_ms`."""
    return RequestId(f"req_{in_base(expires_ms // 1000, BASE36, 6)}{in_base(nth, BASE36, 10)}")


class Row:
    """One row, changed by plans that are made from it as it is."""

    def __init__(self, limits: Limits | None = None, standing: Standing = EMPTY) -> None:
        self.limits = limits or Limits()
        self.standing = standing
        self.made = 0

    def ask(self, now_ms: int, cost: int = 0, tokens: int = 0, lifetime_ms: int = 300_000) -> Ask:
        """A request that was not seen before."""
        self.made += 1
        return Ask(hold_id(now_ms + lifetime_ms, self.made), cost, tokens)

    def tries(
        self, now_ms: int, cost: int = 0, tokens: int = 0, lifetime_ms: int = 300_000
    ) -> Plan | Refused:
        """What is decided about a new request; nothing is written."""
        return admit(self.standing, self.limits, self.ask(now_ms, cost, tokens, lifetime_ms), now_ms)

    def admits(self, now_ms: int, cost: int = 0, tokens: int = 0, lifetime_ms: int = 300_000) -> Hold:
        """Admit a new request."""
        plan = self.tries(now_ms, cost, tokens, lifetime_ms)
        assert isinstance(plan, Plan), plan
        self.writes(plan)
        assert plan.hold
        return plan.hold

    def refuses(self, now_ms: int, cost: int = 0, tokens: int = 0) -> Refused:
        """Refuse a new request."""
        refused = self.tries(now_ms, cost, tokens)
        assert isinstance(refused, Refused), "admitted"
        return refused

    def settles(self, hold: Hold, cost: int, tokens: int, now_ms: int) -> None:
        """Settle a request."""
        self.writes(settle(self.standing, hold.id, Actual(cost, tokens), now_ms))

    def writes(self, plan: Plan) -> None:
        """Apply a plan whose guards must hold."""
        after = apply(self.standing, plan)
        assert after is not None, "a guard does not hold"
        self.standing = after

    def __getitem__(self, name: str) -> int:
        return self.standing.counts[name]
