"""What a gateway may get wrong, each as a change of one place in the real one."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

import pytest

from common.adapters import memory
from common.gateway import account, call, delivery, fallback, relay
from common.gateway.account import Account, Attempt, Settling
from common.gateway.call import Call, Cover
from common.gateway.draining import Draining
from common.gateway.fallback import Fallback
from common.gateway.quote import Offer
from common.metering import decision, sweeper, usage_check, window
from common.metering.apply import apply
from common.metering.decision import Actual, Ask
from common.metering.plan import Draft, Plan
from common.metering.price import cost
from common.metering.rows import Records
from common.metering.standing import Standing
from common.metering.usage_check import Checked, Evidence
from common.model.errors import ClientLeft
from common.model.ids import RequestId
from common.model.limits import Limits, Refused
from common.model.usage import Tokens
from common.providers.continuation import ResumedStream, Said, Sent
from common.routing.recourse import Recourse

Mutant = Callable[[pytest.MonkeyPatch], None]


def check_then_act(patch: pytest.MonkeyPatch) -> None:
    """Limits are checked on what was seen, and the store does not check them again."""
    patch.setattr(memory, "apply", lambda standing, plan: apply(standing, plan._replace(at_most={})))


def settled_twice(patch: pytest.MonkeyPatch) -> None:
    """A settlement does not ask whether the hold is still there."""

    def settle(standing: Standing, hold_id: RequestId, actual: Actual, now_ms: int) -> Plan:
        return real(standing, hold_id, actual, now_ms)._replace(holds={})

    real = decision.settle
    patch.setattr(decision, "settle", settle)


def hold_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Who leaves is not settled for."""

    def leave(
        settling: Settling,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, ClientLeft):
            real(settling, kind, error, trace)

    real = Settling.__exit__
    patch.setattr(Settling, "__exit__", leave)


def short_window(patch: pytest.MonkeyPatch) -> None:
    """The sub-window for clocks that differ is not counted."""
    patch.setattr(window, "COUNTED", window.COUNTED - 1)


def expired_given_back(patch: pytest.MonkeyPatch) -> None:
    """An expired hold is taken for a request that cost nothing."""

    def admit(standing: Standing, limits: Limits, ask: Ask, now_ms: int) -> Refused | Plan:
        plan = real(standing, limits, ask, now_ms)
        if isinstance(plan, Refused):
            return plan
        back = sum(hold.cost_nanousd for hold in plan.swept)
        total = plan.add.get("committed_total", 0) - back
        return plan._replace(add={**plan.add, "committed_total": total})

    real = decision.admit
    patch.setattr(decision, "admit", admit)


def expired_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Holds of the dead stay: nobody books them."""
    patch.setattr(Draft, "sweep", lambda _draft, _now_ms: None)


def not_extended(patch: pytest.MonkeyPatch) -> None:
    """A second attempt is made on what is held for the first."""

    async def cover(*_: object) -> bool:
        """Hold nothing."""
        return True

    patch.setattr(Cover, "__call__", cover)


def usage_believed(patch: pytest.MonkeyPatch) -> None:
    """Whatever a provider says it used is booked."""

    def check(reported: Mapping[str, Any] | None, evidence: Evidence) -> Checked:
        counts = {name: count for name, count in (reported or {}).items() if name in Tokens._fields}
        if any(type(count) is not int or count < 0 for count in counts.values()):
            return real(reported, evidence)
        return Checked(Tokens(**counts), estimated=False)

    real = usage_check.check_usage
    patch.setattr(account, "check_usage", check)


def cut_is_free(patch: pytest.MonkeyPatch) -> None:
    """What nobody saw is booked as if it had not been made."""

    def booked(_account: Account, attempt: Attempt, checked: Checked) -> int:
        prices = attempt.offer.target.prices
        return 0 if prices is None else cost(prices, checked.tokens)

    patch.setattr(Account, "_cost", booked)


def unheard(patch: pytest.MonkeyPatch) -> None:
    """What had come for a client that does not read is not looked at when it leaves."""

    async def hear_out(*_: object) -> None:
        """Hear nothing."""

    patch.setattr(relay, "_hear_out", hear_out)


def farewell_without_end(patch: pytest.MonkeyPatch) -> None:
    """A client that does not read is told why its stream ends, however long that takes."""
    patch.setattr(delivery, "FAREWELL_S", None)


def swept_without_record(patch: pytest.MonkeyPatch) -> None:
    """The sweep takes expired holds out of their rows, and writes nothing down."""
    patch.setattr(sweeper, "Records", lambda abandoned: Records())


def swept_twice(patch: pytest.MonkeyPatch) -> None:
    """The sweep does not ask whether the holds that it has seen are still there."""

    def sweep(standing: Standing, now_ms: int) -> Plan:
        return real(standing, now_ms)._replace(holds={})

    real = decision.sweep
    patch.setattr(decision, "sweep", sweep)


def corrected_twice(patch: pytest.MonkeyPatch) -> None:
    """A correction does not ask whether the record still awaits it."""
    patch.setattr(memory.MemoryRows, "_may_correct", lambda *_: True)


def corrected_upwards(patch: pytest.MonkeyPatch) -> None:
    """An answer that was seen to its end awaits a correction too, though less is booked than was held."""
    patch.setattr(Attempt, "asked_later", property(lambda attempt: attempt.told_later))


def not_taken_back(patch: pytest.MonkeyPatch) -> None:
    """What nobody heard to be admitted holds money until it expires."""

    async def take_back(*_: object) -> None:
        """Take back nothing."""

    patch.setattr(call, "take_back", take_back)


def read_on_unsettled(patch: pytest.MonkeyPatch) -> None:
    """An answer that is read on without its client is not settled at its end."""

    def goes_on(draining: Draining, _: object) -> bool:
        return draining._carrier is not None

    patch.setattr(Draining, "goes_on", goes_on)


def resumed_uncovered(patch: pytest.MonkeyPatch) -> None:
    """Another candidate goes on with an answer on what is held for the first."""

    async def resumed(fallback: Fallback, offer: Offer, said: Said, *, is_prefilled: bool) -> bool:
        async def cover(_: Offer) -> bool:
            """Hold nothing."""
            return True

        fallback._cover = cover
        return await real(fallback, offer, said, is_prefilled=is_prefilled)

    real = Fallback._resumed
    patch.setattr(Fallback, "_resumed", resumed)


def said_is_free(patch: pytest.MonkeyPatch) -> None:
    """What a candidate is given to go on with is not held for."""
    patch.setattr(fallback, "with_said", lambda _quote, offer, _text_bytes: offer)


def retried_behind_content(patch: pytest.MonkeyPatch) -> None:
    """Who broke off in the middle is asked once more."""

    def pause_s(fallback: Fallback, *args: Any) -> float | None:
        account = fallback._account
        first, account.first_byte = account.first_byte, None
        pause = real(fallback, *args)
        account.first_byte = first
        return pause

    real = Fallback._pause_s
    patch.setattr(Fallback, "_pause_s", pause_s)


def spliced_unread(patch: pytest.MonkeyPatch) -> None:
    """An answer that begins anew is cut where the client's ends, whatever it says."""

    def new(stream: ResumedStream, text: str) -> str:
        known = min(len(text), len(stream._expected))
        stream._expected = stream._expected[known:]
        return text[known:]

    patch.setattr(ResumedStream, "_new", new)


def sent_is_not_kept(patch: pytest.MonkeyPatch) -> None:
    """What another candidate is to go on with lacks what was sent last."""

    def keep(sent: Sent, events: bytes) -> None:
        real(sent, held.pop(sent, b""))
        held[sent] = events

    held: dict[Sent, bytes] = {}
    real = Sent.keep
    patch.setattr(Sent, "keep", keep)


def first_content_again(patch: pytest.MonkeyPatch) -> None:
    """The record tells when the last candidate began, not the first."""

    def first_content(account: Account, now: float) -> None:
        account.first_byte = now

    patch.setattr(Account, "first_content", first_content)


def list_asked_again(patch: pytest.MonkeyPatch) -> None:
    """Who is on a list of the operator's, and refuses as well, leads to the list once more."""
    patch.setattr(Fallback, "_listed", lambda fallback, why: [*fallback._further(why)])


def refusal_asked_again(patch: pytest.MonkeyPatch) -> None:
    """A provider that calls the request wrong is asked again."""
    patch.setattr(fallback, "recourse", lambda _: Recourse.HERE)


def deadline_unheeded(patch: pytest.MonkeyPatch) -> None:
    """A client that says how long it waits is not heard."""
    patch.setattr(Call, "_deadline", property(lambda call: call._account.started + 900))


MUTANTS: Final[Mapping[Mutant, str]] = {
    check_then_act: "M1 M2",
    settled_twice: "M4",
    hold_forgotten: "M4",
    short_window: "M1",
    expired_given_back: "M4",
    expired_for_ever: "M4",
    not_extended: "M2",
    usage_believed: "M2 M4",
    cut_is_free: "M4",
    unheard: "M4",
    farewell_without_end: "M4",
    swept_without_record: "M4",
    swept_twice: "M4",
    corrected_twice: "M4",
    corrected_upwards: "M2 M4",
    not_taken_back: "M4",
    read_on_unsettled: "M4",
    resumed_uncovered: "M2",
    said_is_free: "M2",
    retried_behind_content: "R: T:",
    spliced_unread: "T:",
    sent_is_not_kept: "T:",
    first_content_again: "T:",
    list_asked_again: "R:",
    refusal_asked_again: "R:",
    deadline_unheeded: "M4",
}
