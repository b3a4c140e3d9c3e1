"""The contract of `Meter`, and of `UsageStore`, which reads what it settled."""

import asyncio
from dataclasses import astuple, replace

import pytest

from common.model.admission import Ask, Hold
from common.model.ids import KeyId, RequestId, UserId
from common.model.principal import DEFAULT_PERMISSIONS, Principal
from common.model.usage import Outcome, Usage, UsageRecord
from tests.contract.adapters import Stores

NOW_MS = 1_790_000_000_000
RECORD = UsageRecord(
    request_id=RequestId("req_0000000000000001"),
    key_id=KeyId("key_000000000001"),
    user=UserId("ada"),
    model="fast",
    provider="openrouter",
    upstream_model="openai/gpt-4o-mini",
    outcome=Outcome.OK,
    streamed=True,
    attempts=2,
    usage=Usage(input_tokens=12, cache_read_tokens=3, output_tokens=40),
    estimated=False,
    started_ms=NOW_MS,
    first_byte_ms=180,
    total_ms=2_400,
)
LARGEST = 2**53 - 1


async def admit(stores: Stores, record: UsageRecord) -> Hold:
    """Admit the request that `record` will be about."""
    principal = Principal(record.key_id, record.user, frozenset(DEFAULT_PERMISSIONS))
    return await stores.meter.admit(Ask(record.request_id, principal, NOW_MS, NOW_MS + 600_000))


def numbered(number: int) -> UsageRecord:
    """The record of another request."""
    return replace(RECORD, request_id=RequestId(f"req_{number:016}"), total_ms=number)


async def test_hold_is_for_the_ask(stores: Stores) -> None:
    """An admission gives a hold that belongs to what was asked."""
    hold = await admit(stores, RECORD)
    assert hold.ask.request_id == RECORD.request_id
    assert hold.ask.principal.key_id == RECORD.key_id


async def test_only_settling_records(stores: Stores) -> None:
    """An admission leaves no record; an unknown request has none."""
    await admit(stores, RECORD)
    assert await stores.usage.find(RECORD.request_id) is None


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(RECORD, id="streamed"),
        pytest.param(replace(RECORD, streamed=False, first_byte_ms=None), id="no byte for the client"),
        pytest.param(replace(RECORD, provider="", upstream_model="", attempts=0), id="no attempt"),
        pytest.param(replace(RECORD, estimated=True, usage=Usage(0, 0, 0)), id="estimated"),
        pytest.param(replace(RECORD, model="it's; \N{GREEK SMALL LETTER ALPHA}/b:free"), id="odd model"),
        pytest.param(replace(RECORD, usage=Usage(LARGEST, LARGEST, LARGEST)), id="largest integers"),
        *(pytest.param(replace(RECORD, outcome=outcome), id=f"outcome {outcome}") for outcome in Outcome),
    ],
)
async def test_settled_as_recorded(stores: Stores, record: UsageRecord) -> None:
    """What was settled is found by the request id, every field as it was."""
    await stores.meter.settle(await admit(stores, record), record)
    found = await stores.usage.find(record.request_id)
    assert found == record
    assert [type(value) for value in astuple(found)] == [type(value) for value in astuple(record)]


async def test_settled_once(stores: Stores) -> None:
    """M3: settled again, with the same or another record, the first one stays."""
    hold = await admit(stores, RECORD)
    await stores.meter.settle(hold, RECORD)
    await stores.meter.settle(hold, RECORD)
    await stores.meter.settle(hold, replace(RECORD, outcome=Outcome.UPSTREAM, total_ms=1))
    assert await stores.usage.find(RECORD.request_id) == RECORD


async def test_settled_once_by_many(stores: Stores) -> None:
    """M3: of many settlements of one request at once, exactly one counts, whole."""
    hold = await admit(stores, RECORD)
    rivals = [replace(RECORD, attempts=number, total_ms=number) for number in range(20)]
    await asyncio.gather(*(stores.meter.settle(hold, rival) for rival in rivals))
    assert await stores.usage.find(RECORD.request_id) in rivals


async def test_many_at_once(stores: Stores) -> None:
    """Requests settled at the same time do not disturb each other."""
    records = [numbered(number) for number in range(100)]

    async def call(record: UsageRecord) -> None:
        await stores.meter.settle(await admit(stores, record), record)

    await asyncio.gather(*(call(record) for record in records))
    found = await asyncio.gather(*(stores.usage.find(record.request_id) for record in records))
    assert found == records
