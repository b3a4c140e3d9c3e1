"""The table as it is deployed, and how long what is in it is kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

from common.adapters.dynamodb.rows import DynamoRows
from common.adapters.dynamodb.table import create_table
from common.adapters.dynamodb.usage import EXPIRY
from common.metering.rows import Records
from tests.support.dynamodb import LocalDynamo
from tests.support.records import usage_record

TEMPLATE: Final = Path(__file__).parents[3] / "infra/aws/table.yml"
RECORD: Final = usage_record(1)
DAY_S: Final = 86_400


@pytest.fixture
def deployed() -> Any:
    """The table of the template."""
    return yaml.safe_load(TEMPLATE.read_text())["Resources"]["Table"]


def test_keys_and_indexes(deployed: Any) -> None:
    """A table that is deployed has the keys and indexes of the one that the tests run on."""
    made = create_table("sluice-${sls:stage}")
    assert {name: deployed["Properties"].get(name) for name in made} == made


def test_safeguards(deployed: Any) -> None:
    """Nothing deletes it by the way, it can be had back as of any second, and what has expired is deleted."""
    properties = deployed["Properties"]
    assert (deployed["DeletionPolicy"], deployed["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert properties["DeletionProtectionEnabled"] is True
    assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert properties["TimeToLiveSpecification"] == {"AttributeName": EXPIRY, "Enabled": True}
    assert properties["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(Records(settled=RECORD), id="settled"),
        pytest.param(Records(abandoned=(replace(RECORD, abandoned=True),)), id="abandoned"),
    ],
)
@pytest.mark.parametrize("days", [None, 90])
async def test_retention(dynamo: LocalDynamo, records: Records, days: int | None) -> None:
    """A record says when it may be deleted, so many days after its request began; without a bound it does not."""
    client = dynamo.client()
    rows = DynamoRows(client, dynamo.table, dynamo.clock, dynamo.background, keep_days=days)
    assert (await rows.apply([], records)).applied
    key = {"pk": {"S": RECORD.request_id}}
    item = (await client.call("GetItem", {"TableName": dynamo.table, "Key": key}))["Item"]
    expected = None if days is None else {"N": str(RECORD.started_ms // 1000 + days * DAY_S)}
    assert item.get(EXPIRY) == expected
