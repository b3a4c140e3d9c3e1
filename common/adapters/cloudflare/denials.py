"""A `Meter` that does not ask again what it has just been told: a spent budget, or the count of a day that is full.

A client that goes on all the same would else have D1, which is one thread for everybody, read its row each time. (It
writes nothing for a refusal.) What is remembered is a request that was refused; one that asks for as much, under the
same limits, is refused for the same reason. Remembered in the isolate, not in KV: there, a look-up costs more than the
read that it saves.

Money comes back only where a record is corrected, and limits change: so nothing is remembered for longer than `FOR_S`,
by which the times in a refusal may be wrong.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from common.model.admission import Admission, Ask
from common.model.errors import BudgetExceeded, LimitError, RateLimited
from common.model.ids import KeyId
from common.model.limits import Limit, Limits, LimitStanding
from common.model.principal import Principal
from common.model.usage import UsageRecord
from common.ports import Clock, Meter

FOR_S: Final = 10.0
_ENTRIES: Final = 1_000
_OF_A_DAY: Final = frozenset({Limit.REQUESTS_PER_DAY, Limit.TOKENS_PER_DAY})


class _Denial(NamedTuple):
    ask: Ask
    error: LimitError
    until: float


class RemembersDenials:
    """A `Meter` in front of another."""

    def __init__(self, meter: Meter, clock: Clock) -> None:
        self._meter = meter
        self._clock = clock
        self._denials: OrderedDict[KeyId, _Denial] = OrderedDict()

    async def admit(self, ask: Ask) -> Admission:
        """See `Meter.admit`."""
        key_id, now = ask.principal.key_id, self._clock.monotonic()
        denial = self._denials.get(key_id)
        if denial is not None and now < denial.until and _asks_as_much(ask, denial.ask, denial.error.limit):
            raise _again(denial.error)
        try:
            return await self._meter.admit(ask)
        except LimitError as error:
            if _is_lasting(error):
                self._denials[key_id] = _Denial(ask, error.with_traceback(None), now + _for_s(error))
                self._denials.move_to_end(key_id)
                if len(self._denials) > _ENTRIES:
                    self._denials.popitem(last=False)
            raise

    async def extend(self, admission: Admission, more_nanousd: int) -> Admission:
        """See `Meter.extend`."""
        return await self._meter.extend(admission, more_nanousd)

    async def withdraw(self, ask: Ask) -> None:
        """See `Meter.withdraw`."""
        await self._meter.withdraw(ask)

    async def settle(self, admission: Admission, record: UsageRecord) -> None:
        """See `Meter.settle`."""
        await self._meter.settle(admission, record)

    async def standing(self, principal: Principal) -> Mapping[str, Sequence[LimitStanding]]:
        """See `Meter.standing`."""
        return await self._meter.standing(principal)


def _is_lasting(error: LimitError) -> bool:
    return isinstance(error, BudgetExceeded) or (isinstance(error, RateLimited) and error.limit in _OF_A_DAY)


def _for_s(error: LimitError) -> float:
    return FOR_S if error.retry_after_ms is None else min(FOR_S, error.retry_after_ms / 1000)


def _asks_as_much(ask: Ask, denied: Ask, limit: Limit) -> bool:
    same: Mapping[str, Limits] = denied.principal.limits
    if ask.principal.limits != same:
        return False
    if limit is Limit.REQUESTS_PER_DAY:
        return True
    return (
        ask.tokens >= denied.tokens
        if limit is Limit.TOKENS_PER_DAY
        else ask.cost_nanousd >= denied.cost_nanousd
    )


def _again(error: LimitError) -> LimitError:
    """The same to say, with a traceback of its own."""
    again = type(error)(error.message, limit=error.limit, retry_after_ms=error.retry_after_ms)
    again.room_nanousd, again.headroom = error.room_nanousd, error.headroom
    return again
