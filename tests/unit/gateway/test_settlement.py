"""`settle` and `take_back`: tried again while the storage is away; what becomes of a request where it stays away."""

from collections.abc import Mapping, Sequence

import pytest

from common.adapters.memory import MemoryDeadLetters
from common.gateway import settlement
from common.gateway.settlement import settle, take_back
from common.model.admission import Admission, Ask
from common.model.errors import StorageUnavailable
from common.model.limits import Headroom, LimitStanding
from common.model.principal import Principal
from common.model.usage import UsageRecord
from tests.support.records import usage_record

RECORD = usage_record(1)
PRINCIPAL = Principal(RECORD.key_id, RECORD.user, frozenset())
ADMISSION = Admission(Ask(RECORD.request_id, PRINCIPAL, 0, 0, 0), 0, 0, Headroom(None, None))


class Failing:
    """A meter that fails so many times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.settled: list[UsageRecord] = []
        self.withdrawn: list[Ask] = []

    async def admit(self, ask: Ask) -> Admission:
        """Not asked for here."""
        raise AssertionError

    async def extend(self, admission: Admission, more_nanousd: int) -> Admission:
        """Not asked for here."""
        raise AssertionError

    async def withdraw(self, ask: Ask) -> None:
        """See `Meter.withdraw`."""
        self._fail()
        self.withdrawn.append(ask)

    async def settle(self, admission: Admission, record: UsageRecord) -> None:
        """See `Meter.settle`."""
        self._fail()
        self.settled.append(record)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("away")

    async def standing(self, principal: Principal) -> Mapping[str, Sequence[LimitStanding]]:
        """Not asked for here."""
        raise AssertionError


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between the tries."""
    monkeypatch.setattr(settlement, "RETRY_AFTER_S", (0, 0, 0))
    monkeypatch.setattr(settlement, "IN_FLIGHT_S", 0)


@pytest.mark.parametrize("failures", [0, 1, 3])
async def test_tried_again(failures: int) -> None:
    """A storage that comes back in time takes the record; no letter is written."""
    meter, letters = Failing(failures), MemoryDeadLetters()
    await settle(meter, letters, ADMISSION, RECORD)
    assert (meter.settled, letters.records) == ([RECORD], [])


async def test_dead_letter(caplog: pytest.LogCaptureFixture) -> None:
    """A storage that stays away leaves a letter, and a log line that names the request."""
    meter, letters = Failing(99), MemoryDeadLetters()
    await settle(meter, letters, ADMISSION, RECORD)
    assert (meter.settled, letters.records) == ([], [RECORD])
    assert RECORD.request_id in caplog.text


@pytest.mark.parametrize("failures", [0, 1, 3])
async def test_taken_back(failures: int) -> None:
    """A storage that comes back in time is told once."""
    meter = Failing(failures)
    await take_back(meter, ADMISSION.ask)
    assert meter.withdrawn == [ADMISSION.ask]


async def test_not_taken_back(caplog: pytest.LogCaptureFixture) -> None:
    """A storage that stays away leaves a log line that names the request, and no error: its hold expires."""
    meter = Failing(99)
    await take_back(meter, ADMISSION.ask)
    assert meter.withdrawn == []
    assert RECORD.request_id in caplog.text
