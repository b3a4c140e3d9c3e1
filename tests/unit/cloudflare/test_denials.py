"""What is remembered of refusals, and what is asked again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from common.adapters.cloudflare.denials import FOR_S, RemembersDenials
from common.model.admission import Admission, Ask
from common.model.errors import BudgetExceeded, BudgetInFlight, LimitError, RateLimited
from common.model.ids import KeyId, RequestId, UserId
from common.model.limits import Headroom, Limit, Limits, LimitStanding
from common.model.principal import Principal
from common.model.usage import UsageRecord
from tests.support.clock import FakeClock

KEY = Principal(KeyId("key_1"), UserId("ada"), frozenset(), key_limits=Limits(budget_total=5))
ASK = Ask(RequestId("req_1"), KEY, 0, tokens=100, cost_nanousd=1_000)
SPENT = BudgetExceeded("spent", limit=Limit.BUDGET_TOTAL, retry_after_ms=None)
DAY = RateLimited("full", limit=Limit.TOKENS_PER_DAY, retry_after_ms=3_600_000)
DAY_REQUESTS = RateLimited("full", limit=Limit.REQUESTS_PER_DAY, retry_after_ms=3_600_000)
SOON = RateLimited("full", limit=Limit.REQUESTS_PER_DAY, retry_after_ms=2_000)
HELD = BudgetInFlight("held", limit=Limit.BUDGET_TOTAL, retry_after_ms=1_000)
MINUTE = RateLimited("full", limit=Limit.REQUESTS_PER_MINUTE, retry_after_ms=5_000)


class Refuses:
    """A meter that refuses with one error, or admits."""

    def __init__(self, error: LimitError | None) -> None:
        self.error = error
        self.asked = 0

    async def admit(self, ask: Ask) -> Admission:
        """As told."""
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Admission(ask, ask.cost_nanousd, 0, Headroom(None, None))

    async def extend(self, admission: Admission, more_nanousd: int) -> Admission:
        """Not asked for here."""
        raise NotImplementedError

    async def withdraw(self, ask: Ask) -> None:
        """Not asked for here."""
        raise NotImplementedError

    async def settle(self, admission: Admission, record: UsageRecord) -> None:
        """Not asked for here."""
        raise NotImplementedError

    async def standing(self, principal: Principal) -> Mapping[str, Sequence[LimitStanding]]:
        """Of one limit, for whoever it is."""
        return {
            principal.key_id: [
                LimitStanding(
                    Limit.BUDGET_TOTAL, is_enforced=True, value=5, used=5, held=0, remaining=0, resets_ms=None
                )
            ]
        }


async def asked(error: LimitError, *asks: Ask, after_s: float = 0.0) -> int:
    """How often the meter behind is asked about these, the first of which it refuses, as all others that it hears."""
    behind, clock = Refuses(error), FakeClock()
    meter = RemembersDenials(behind, clock)
    for ask in asks:
        with pytest.raises(type(error)) as caught:
            await meter.admit(ask)
        assert (caught.value.message, caught.value.limit) == (error.message, error.limit)
        clock.advance(after_s)
    return behind.asked


@pytest.mark.parametrize("error", [SPENT, DAY, DAY_REQUESTS])
async def test_remembered(error: LimitError) -> None:
    """What does not pass soon is said again without asking, for as much or more."""
    more = replace(ASK, tokens=200, cost_nanousd=2_000, request_id=RequestId("req_2"))
    assert await asked(error, ASK, more, ASK) == 1


@pytest.mark.parametrize("error", [HELD, MINUTE])
async def test_not_remembered(error: LimitError) -> None:
    """What may pass at any moment is asked about each time."""
    assert await asked(error, ASK, ASK) == 2


@pytest.mark.parametrize(
    ("error", "ask", "times"),
    [
        pytest.param(SPENT, replace(ASK, cost_nanousd=999), 2, id="cheaper"),
        pytest.param(DAY, replace(ASK, tokens=99), 2, id="shorter"),
        pytest.param(SPENT, replace(ASK, tokens=99), 1, id="shorter, not cheaper"),
        pytest.param(
            DAY_REQUESTS, replace(ASK, tokens=1, cost_nanousd=1), 1, id="one request is one request"
        ),
        pytest.param(
            SPENT,
            replace(ASK, principal=replace(KEY, key_limits=Limits(budget_total=6))),
            2,
            id="other limits",
        ),
        pytest.param(SPENT, replace(ASK, principal=replace(KEY, key_id=KeyId("key_2"))), 2, id="another key"),
    ],
)
async def test_what_else_is_asked(error: LimitError, ask: Ask, times: int) -> None:
    """Who asks for less, or under other limits, is another question."""
    assert await asked(error, ASK, ask) == times


@pytest.mark.parametrize(("error", "after_s"), [(SPENT, FOR_S), (SOON, 2.0)])
async def test_forgotten(error: LimitError, after_s: float) -> None:
    """After a while, or when the day is over, it is asked again."""
    assert await asked(error, ASK, ASK, after_s=after_s) == 2
    assert await asked(error, ASK, ASK, after_s=after_s / 2) == 1


async def test_standing_is_asked_behind() -> None:
    """How far limits are used is what the meter behind says, whatever was refused before."""
    behind = Refuses(SPENT)
    meter = RemembersDenials(behind, FakeClock())
    with pytest.raises(BudgetExceeded):
        await meter.admit(ASK)
    assert await meter.standing(KEY) == await behind.standing(KEY)
