"""The meter as several instances use it: clocks that differ, stale standings, writes that come late and twice."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.metering import decision
from common.metering.apply import apply
from common.metering.decision import Actual, Ask
from common.metering.plan import Plan
from common.metering.standing import EMPTY, Hold, Standing
from common.model.ids import RequestId, new_request_id
from common.model.limits import Limits, Reason, Refused
from tests.unit.metering.ledger import Entry, Ledger

MIDNIGHT_MS = 1_798_761_600_000  # 2027-01-01, of a new month too
SKEWS = st.sampled_from([-2_000, -1_999, -700, 0, 1, 1_500, 2_000])
STEPS = st.one_of(
    st.sampled_from(
        [1, 999, 1_000, 4_999, 5_000, 5_001, 55_000, 56_000, 59_000, 60_000, 61_000, 65_000, 90_000]
    ),
    st.integers(0, 6_000),
)


def seldom(*values: int) -> st.SearchStrategy[int | None]:
    """A limit that most runs are without, so that the others are reached."""
    return st.sampled_from([None, None, None, *values])


LIMITS = st.builds(
    Limits,
    requests_per_minute=seldom(1, 2, 3),
    tokens_per_minute=seldom(10, 25),
    requests_per_day=seldom(6),
    tokens_per_day=seldom(60),
    max_parallel=seldom(2),
    budget_day=seldom(100, 200),
    budget_month=seldom(150),
    budget_total=seldom(100, 200),
)


@dataclass
class Instance:
    """One process: how far its clock is off, and the standing that it remembers."""

    skew_ms: int
    view: Standing = EMPTY


class Decisions:
    """The functions under test; a mutant replaces one."""

    admit = staticmethod(decision.admit)
    extend = staticmethod(decision.extend)
    settle = staticmethod(decision.settle)


class Meter(RuleBasedStateMachine):
    """One principal, three instances."""

    decide: Any = Decisions

    @initialize(
        limits=LIMITS,
        skews=st.tuples(SKEWS, SKEWS, SKEWS),
        start=st.sampled_from([-100_000, -3_000, 7_200_000]),
    )
    def begin(self, limits: Limits, skews: tuple[int, int, int], start: int) -> None:
        """A principal that nobody has seen yet, shortly before or after the turn of a year."""
        self.limits, self.row, self.log = limits, EMPTY, Ledger(limits)
        self.now = MIDNIGHT_MS + start
        self.instances = [Instance(skew) for skew in skews]
        self.rng = random.Random(7)
        self.known: dict[RequestId, Hold] = {}  # as their callers know them
        self.estimated: dict[RequestId, Hold] = {}  # records that may still be corrected, once
        self.withdrawn_after: dict[RequestId, int] = {}
        self.last: Plan | None = None

    def carry_out(self, who: Instance, make: Callable[[Standing], Refused | Plan]) -> Refused | Plan:
        """What an adapter does: apply, plan again from the row as it came back, read before refusing."""
        for view in (who.view, self.row):
            verdict = make(view)
            if isinstance(verdict, Refused):
                continue
            row = apply(self.row, verdict)
            if row is not None:
                self.row = who.view = row
                self.last = verdict
                return verdict
        assert isinstance(verdict, Refused), "a plan from the row as it is was not applied"
        return verdict

    # -- the world -----------------------------------------------------------------------------------------------------

    @rule(step=STEPS)
    def wait(self, step: int) -> None:
        """Time passes."""
        self.now += step

    @rule(who=st.integers(0, 2), windows=st.sampled_from([1, 1, 11, 12, 13]), off=st.sampled_from([-1, 0, 1]))
    def wait_for_edge(self, who: int, windows: int, off: int) -> None:
        """Time passes until a sub-window turns by an instance's clock."""
        clock = self.now + self.instances[who].skew_ms
        self.now += max(0, (clock // 5_000 + windows) * 5_000 + off - clock)

    @rule(who=st.integers(0, 2), skew=st.none() | SKEWS)
    def look(self, who: int, skew: int | None) -> None:
        """An instance reads the row, or its clock is set, forward or back."""
        if skew is None:
            self.instances[who].view = self.row
        else:
            self.instances[who].skew_ms = skew

    # -- the requests --------------------------------------------------------------------------------------------------

    @rule(
        who=st.integers(0, 2),
        cost=st.sampled_from([0, 1, 30, 40, 60, 100]),
        tokens=st.sampled_from([0, 1, 5, 10]),
        lifetime_s=st.sampled_from([12, 60]),
        late=st.sampled_from([0, 0, 300, 1_000]),
        rest=st.sampled_from([(), (1,), (2,), (1, 2), (0, 0)]),
    )
    def arrive(self, who: int, rest: tuple[int, ...], **request: int) -> None:
        """Requests arrive at one instance after the other; the write of each admission takes `late` ms."""
        for step in (0, *rest):
            self.admit(self.instances[(who + step) % 3], **request)

    def admit(self, instance: Instance, *, cost: int, tokens: int, lifetime_s: int, late: int) -> None:
        """One of them."""
        now = self.now + instance.skew_ms - late
        ask = Ask(new_request_id(now // 1000 + lifetime_s, self.rng), cost, tokens)
        verdict = self.carry_out(instance, lambda view: self.decide.admit(view, self.limits, ask, now))
        if isinstance(verdict, Refused):
            self.check_refusal(verdict, cost, tokens, now)
            return
        assert verdict.hold is not None, "M4: nothing is held"
        self.known[ask.hold_id] = verdict.hold
        for hold in verdict.swept:
            assert hold.id not in self.estimated, "M4: swept twice"
            self.estimated[hold.id] = hold
            self.log.swept(hold.id)
        self.log.admitted(
            ask.hold_id,
            cost,
            tokens,
            true_ms=self.now,
            now_ms=now,
            expires_ms=(now // 1000 + lifetime_s) * 1000,
        )
        if not self.withdrawn_after:  # which may hide an admission from a stale view (M4: "that sees it")
            stale = [id_ for id_ in self.row.holds if self.log.entries[id_].expires_ms <= now]
            assert not stale, "M4: an expired hold outlived an admission"

    def check_refusal(self, refused: Refused, cost: int, tokens: int, now: int) -> None:
        """M6: money refused as held is held; nothing is refused while the log has room for it."""
        index = max(self.log.latest_ms, now) // 5_000
        entries = list(self.log.entries.values())
        counted = [e for e in entries if e.request_index > index - 14 and not self.gone(e)]
        alive = [e for e in entries if e.open and e.expires_ms > now]
        limits = self.limits
        match refused.limit:
            case "requests_per_minute":
                full = len(counted) >= (limits.requests_per_minute or 0)
            case "tokens_per_minute":
                booked = sum(t for i, t in self.log.tokens_by_index() if i > index - 14)
                full = booked + tokens > (limits.tokens_per_minute or 0)
            case "max_parallel":
                full = len(alive) >= (limits.max_parallel or 0)
            case "budget_total":
                full = self.log.committed()[2] + cost > (limits.budget_total or 0)
                spent = self.log.committed()[2] - sum(e.booked for e in alive)
                if refused.reason is not Reason.TOO_LARGE:
                    held = spent + cost <= (limits.budget_total or 0)
                    assert (refused.reason is Reason.IN_FLIGHT) == held, "M7: held and spent are told apart"
            case _:
                full = True
        assert full, f"M6: refused with room: {refused}"

    def gone(self, entry: Entry) -> bool:
        """Whether the row no longer counts an entry's request."""
        return entry.withdrawn and self.withdrawn_after[entry.id] <= entry.request_index

    def pick(self, nth: int) -> Entry:
        """An admission, mostly a late one."""
        entries = list(self.log.entries.values())
        return entries[-1 - nth % len(entries)]

    @precondition(lambda self: self.log.entries)
    @rule(
        who=st.integers(0, 2),
        nth=st.integers(0, 5),
        cost=st.sampled_from([0, 1, 10, 30, 50]),
        tokens=st.sampled_from([0, 1, 5, 12]),
        estimated=st.booleans(),
    )
    def settle(self, who: int, nth: int, cost: int, tokens: int, *, estimated: bool) -> None:
        """A request ends: for the first time, again, or after its hold was swept."""
        instance, entry = self.instances[who], self.pick(nth)
        now, actual = self.now + instance.skew_ms, Actual(cost, tokens)
        was_open = entry.open
        verdict = self.carry_out(instance, lambda view: self.decide.settle(view, entry.id, actual, now))
        assert isinstance(verdict, Plan)
        if entry.id in verdict.remove:
            assert was_open, "M3: settled twice"
            booked = self.known[entry.id]
            self.log.replaced(entry, cost, tokens, now)
            if estimated:
                kept = min(tokens, booked.tokens)
                self.estimated[entry.id] = replace(booked, cost_nanousd=cost, tokens=kept)
        elif entry.id in self.estimated:  # one transaction: the record is turned, the row corrected
            booked = self.estimated.pop(entry.id)
            plan = self.carry_out(instance, lambda view: decision.correct(view, booked, actual, now))
            assert isinstance(plan, Plan)
            self.log.replaced(entry, cost, tokens, now)

    @precondition(lambda self: self.log.entries)
    @rule(who=st.integers(0, 2), nth=st.integers(0, 3), more=st.sampled_from([1, 20, 60]))
    def extend(self, who: int, nth: int, more: int) -> None:
        """A request needs another attempt."""
        instance, entry = self.instances[who], self.pick(nth)
        now, hold = self.now + instance.skew_ms, self.known[entry.id]
        verdict = self.carry_out(
            instance, lambda view: self.decide.extend(view, self.limits, hold, more, now)
        )
        if isinstance(verdict, Refused):
            return
        assert (verdict.hold is not None) == entry.open, "M4: only an open hold is extended"
        if verdict.hold:
            self.log.extended(entry, hold.cost_nanousd + more, now)
            self.known[entry.id] = verdict.hold

    @precondition(lambda self: self.log.entries)
    @rule(who=st.integers(0, 2))
    def withdraw(self, who: int) -> None:
        """Another principal of the newest request refused it."""
        instance, entry = self.instances[who], self.pick(0)
        if entry.extended:
            return
        now = self.now + instance.skew_ms
        verdict = self.carry_out(instance, lambda view: decision.withdraw(view, entry.id, now))
        assert isinstance(verdict, Plan)
        if verdict.remove:
            self.withdrawn_after[entry.id] = self.row.counts["sub_window"]
            self.log.withdrawn(entry)

    @precondition(lambda self: self.last is not None and (self.last.put or self.last.remove))
    @rule()
    def repeat(self) -> None:
        """The last write is delivered twice, as when its first reply was lost."""
        assert self.last is not None
        again = apply(self.row, self.last)
        changed = again is not None and again != self.row
        assert not changed, "M3: a write counted twice"

    # -- after every step ----------------------------------------------------------------------------------------------

    @invariant()
    def agrees(self) -> None:
        """The row says what the log says, and no budget is passed but by overruns."""
        self.log.check_row(self.row, self.withdrawn_after)
        self.log.check_overrun()

    def teardown(self) -> None:
        """M4, M7: when all holds have expired, what is committed is spent, and what is not spent is spendable."""
        if not hasattr(self, "log"):
            return
        self.now += 200_000
        row = self.row
        while (plan := decision.sweep(row, self.now)).swept:
            after = apply(row, plan)
            assert after is not None, "a plan from the row as it is was not applied"
            row = after
        assert not row.holds, "M4: a hold survives"
        assert row.counts["in_flight"] == 0, "M4: a hold is counted that is gone"
        if self.limits.budget_total is None:
            return
        unspent = self.limits.budget_total - self.log.committed()[2]
        limits = Limits(budget_total=self.limits.budget_total)
        ask = Ask(new_request_id(self.now // 1000 + 60, self.rng), max(unspent, 1), 0)
        verdict = decision.admit(row, limits, ask, self.now)
        assert isinstance(verdict, Plan) == (unspent > 0), "M7: what is not spent is spendable"
