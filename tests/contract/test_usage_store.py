"""The contract of `UsageStore`: what was settled is found as it was, to the last field."""

from dataclasses import replace
from typing import Final

import pytest

from common.adapters.sql.database import Database, Statement
from common.adapters.sql.usage import SqlUsageStore
from common.metering.rows import Records
from common.model.ids import RequestId
from common.model.usage import Bounds, CountedIn, Provisional, UsageRecord
from tests.contract.adapters import Stores
from tests.support.records import ANSWERED, BROKEN, UNSENT, as_of_old, insert_of_version_1, usage_record

LARGEST: Final = 2**53 - 1
RECORD: Final = usage_record(1)
RECORDS: Final = {
    "full": RECORD,
    "what has a default left out": as_of_old(RECORD),
    "no attempt": replace(RECORD, route=(), provider="", upstream_model="", attempts=0),
    "never sent": replace(RECORD, route=(UNSENT,)),
    "many attempts": replace(RECORD, route=(BROKEN, UNSENT) * 15 + (ANSWERED,)),
    "largest numbers": replace(
        RECORD,
        gateway_us=LARGEST,
        storage_us=LARGEST,
        route=(replace(ANSWERED, cost_nanousd=LARGEST, request_price=LARGEST, took_ms=LARGEST),),
    ),
    "awaiting, by no row": replace(RECORD, awaiting=CountedIn(0)),
    "awaiting": replace(
        RECORD, awaiting=CountedIn.KEY | CountedIn.USER, route=(replace(ANSWERED, awaits=Bounds(9, LARGEST)),)
    ),
    "zeros": replace(RECORD, gateway_us=0, storage_us=0),
    "texts": replace(RECORD, session_id='it\'s; "a" \\ é模型 \N{REPLACEMENT CHARACTER}', trace_id=None),
    "names": replace(RECORD, route=(replace(ANSWERED, provider="é", model="a'b\"c\\", ended="x; --"),)),
}


@pytest.mark.parametrize("name", RECORDS)
async def test_found_as_settled(stores: Stores, name: str) -> None:
    """A settled record is found by its request's id, with every field and type as it was; settled again it stays."""
    record = RECORDS[name]
    assert await stores.usage.find(record.request_id) is None
    for each in (record, replace(record, session_id="another", route=())):
        assert (await stores.rows.apply([], Records(settled=each))).applied
        found = await stores.usage.find(record.request_id)
        assert found == record
        assert typed(found) == typed(record)


async def test_late_settlement_brings_everything(stores: Stores) -> None:
    """What an abandoned record did not know comes with the settlement that replaces it."""
    abandoned = replace(as_of_old(RECORD), abandoned=True, model="", provider="", first_byte_ms=None)
    assert (await stores.rows.apply([], Records(abandoned=(abandoned,)))).applied
    assert await stores.usage.find(RECORD.request_id) == abandoned
    assert (await stores.rows.apply([], Records(settled=RECORD, corrects=Provisional.ABANDONED))).applied
    assert await stores.usage.find(RECORD.request_id) == RECORD


async def test_another_request(stores: Stores) -> None:
    """A request that is not settled has no record, whatever others have."""
    await stores.rows.apply([], Records(settled=RECORD))
    assert await stores.usage.find(RequestId("req_0000000000000002")) is None


async def test_record_of_the_first_version(database: Database) -> None:
    """A row that an earlier version wrote is found, and what was not known is not made up."""
    await database.run(Statement(*insert_of_version_1(RECORD)))
    assert await SqlUsageStore(database).find(RECORD.request_id) == as_of_old(RECORD)


def typed(record: UsageRecord | None) -> str:
    """1 and True are equal, and so are 1 and 1.0, but they do not look the same."""
    return repr(record)
