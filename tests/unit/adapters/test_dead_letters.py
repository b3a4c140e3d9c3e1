"""`FileDeadLetters`: a record that the meter did not take is kept, and delivered later, once or more, never less."""

from pathlib import Path

import pytest

from common.adapters.dead_letters import FileDeadLetters
from common.model.errors import StorageUnavailable
from common.model.usage import UsageRecord
from common.wire.usage_json import record_from_json, record_to_json
from tests.support.records import usage_record


async def test_letters_are_delivered() -> None:
    """A record comes back as it was written."""
    record = usage_record(7)
    assert record_from_json(record_to_json(record)) == record


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"tokens":{}}', "null"])
def test_what_is_no_record(text: str) -> None:
    """Anything else is a `ValueError`."""
    with pytest.raises(ValueError):
        record_from_json(text)


async def test_delivery(tmp_path: Path) -> None:
    """Each letter is handed over; those that are not taken stay, the others are gone."""
    letters = FileDeadLetters(tmp_path / "letters.jsonl")
    for number in range(3):
        await letters.put(usage_record(number))
    taken: list[UsageRecord] = []

    async def settle(record: UsageRecord) -> None:
        if record == usage_record(1):
            raise StorageUnavailable("still down")
        taken.append(record)

    assert await letters.deliver(settle) == (2, 1)
    assert taken == [usage_record(0), usage_record(2)]
    taken.clear()

    async def settle_all(record: UsageRecord) -> None:
        taken.append(record)

    assert await letters.deliver(settle_all) == (1, 0)
    assert taken == [usage_record(1)]
    assert await letters.deliver(settle_all) == (0, 0)


async def test_crash_in_a_delivery(tmp_path: Path) -> None:
    """Whoever ends in the middle of a delivery leaves the letters to the next; new ones wait their turn."""
    path = tmp_path / "letters.jsonl"
    await FileDeadLetters(path).put(usage_record(1))

    async def crash(_record: UsageRecord) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await FileDeadLetters(path).deliver(crash)
    await FileDeadLetters(path).put(usage_record(2))
    taken: list[UsageRecord] = []

    async def settle(record: UsageRecord) -> None:
        taken.append(record)

    for _ in range(2):
        await FileDeadLetters(path).deliver(settle)
    assert taken == [usage_record(1), usage_record(2)]


async def test_disk_fails_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where not even the file takes it, the record is in the log."""
    await FileDeadLetters(tmp_path / "missing" / "letters.jsonl").put(usage_record(5))
    assert record_to_json(usage_record(5)) in caplog.text
