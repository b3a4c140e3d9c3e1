"""`FileDeadLetters`: a record that the meter did not take is kept, and delivered later, once or more, never less."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from common.adapters.dead_letters import GIVE_UP_AFTER, FileDeadLetters
from common.model.errors import StorageContended, StorageUnavailable
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


async def test_whoever_delivers_is_alone(tmp_path: Path) -> None:
    """While letters are delivered another process finds none, and lays down new ones that wait for their turn."""
    path = tmp_path / "letters.jsonl"
    one, other = FileDeadLetters(path), FileDeadLetters(path)
    await one.put(usage_record(1))
    taken: list[UsageRecord] = []

    async def settle(record: UsageRecord) -> None:
        taken.append(record)
        if record == usage_record(1):
            await other.put(usage_record(2))
            assert await other.deliver(settle) == (0, 0)

    assert await one.deliver(settle) == (1, 0)
    assert await other.deliver(settle) == (1, 0)
    assert taken == [usage_record(1), usage_record(2)]
    assert await one.deliver(settle) == (0, 0)


async def test_storage_is_down(tmp_path: Path) -> None:
    """After some letters in a row that the storage did not take, the others wait, and none is lost."""
    letters = FileDeadLetters(tmp_path / "letters.jsonl")
    for number in range(10):
        await letters.put(usage_record(number))
    asked: list[UsageRecord] = []

    async def settle(record: UsageRecord) -> None:
        asked.append(record)
        raise StorageUnavailable("down")

    assert await letters.deliver(settle) == (0, 10)
    assert len(asked) == GIVE_UP_AFTER
    assert await letters.deliver(settle) == (0, 10)


@pytest.mark.parametrize("error", [StorageContended("busy"), ValueError("strange")], ids=["busy", "strange"])
async def test_letters_of_their_own_trouble(tmp_path: Path, error: Exception) -> None:
    """Where it is not the storage that is down, all the others are tried."""
    letters = FileDeadLetters(tmp_path / "letters.jsonl")
    for number in range(10):
        await letters.put(usage_record(number))

    async def settle(record: UsageRecord) -> None:
        if record != usage_record(9):
            raise error

    assert await letters.deliver(settle) == (1, 9)


async def test_a_torn_line(tmp_path: Path) -> None:
    """What a process has left unfinished does not spoil the letter that comes after it."""
    path = tmp_path / "letters.jsonl"
    path.write_text(record_to_json(usage_record(1))[:40])
    letters = FileDeadLetters(path)
    await letters.put(usage_record(2))
    taken: list[UsageRecord] = []

    async def settle(record: UsageRecord) -> None:
        taken.append(record)

    assert await letters.deliver(settle) == (1, 1)
    assert taken == [usage_record(2)]


EACH = 150
PROGRAM = f"""
import asyncio, sys
from pathlib import Path
from common.adapters.dead_letters import FileDeadLetters
from tests.support.records import usage_record

async def main(first):
    letters, taken = FileDeadLetters(Path("letters.jsonl")), set()
    async def settle(record):
        taken.add(record.request_id)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(first, first + {EACH}):
        await letters.put(usage_record(number))
        await letters.deliver(settle)
    print(*taken)

asyncio.run(main(int(sys.argv[1])))
"""


def files(folder: Path) -> list[str]:
    """Their names."""
    return [path.name for path in folder.iterdir()]


async def test_several_processes(tmp_path: Path) -> None:
    """Whatever processes write and deliver at once, each letter is delivered: by one of them, or in the end."""
    starts = (0, 1_000, 2_000)
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    running = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, str(first)),
            cwd=tmp_path,
            env=environment,
            stdin=pipe,
            stdout=pipe,
        )
        for first in starts
    ]
    for each in running:
        assert each.stdout is not None
        assert await each.stdout.readline() == b"ready\n"
    outputs = await asyncio.gather(*(each.communicate(b"go\n") for each in running))
    assert [each.returncode for each in running] == [0, 0, 0]
    found = {request_id for out, _ in outputs for request_id in out.decode().split()}

    async def settle(record: UsageRecord) -> None:
        found.add(record.request_id)

    await FileDeadLetters(tmp_path / "letters.jsonl").deliver(settle)
    assert found == {usage_record(first + nth).request_id for first in starts for nth in range(EACH)}
    assert files(tmp_path) == []
