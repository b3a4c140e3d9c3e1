"""What `sluice doctor` looks at in a deployed table: that it is as `infra/aws/table.yml` describes it, and works."""

from collections.abc import Mapping
from typing import Any, Final

from common.adapters.dynamodb.client import ConditionFailed, DynamoClient, Unanswered
from common.adapters.dynamodb.table import create_table
from common.model.errors import StorageUnavailable
from common.providers.examination import Finding, State
from common.targets.examination import Check

_DEPLOY: Final = "`make deploy-aws` brings what infra/aws/table.yml says."
_PROBE_S: Final = 3_600  # after which DynamoDB deletes a probe that was left behind


async def examine_table(client: DynamoClient, table: str, *, probe: str, now_s: int) -> list[Check]:
    """`StorageUnavailable` where there is no table, or nobody answers. `probe`: an item's name that nobody else has."""
    described, keeps, backups = [
        await _describe(client, operation, table)
        for operation in ("DescribeTable", "DescribeTimeToLive", "DescribeContinuousBackups")
    ]
    return [
        Check("table", _table(described, table)),
        Check("time to live", _time_to_live(keeps, table)),
        Check("backups", _backups(backups, described, table)),
        Check("writing", await _write(client, table, probe, now_s)),
    ]


async def _describe(client: DynamoClient, operation: str, table: str) -> dict[str, Any] | None:
    """None where these credentials may not see it."""
    try:
        return await client.call(operation, {"TableName": table})
    except Unanswered as error:
        if "AccessDenied" in error.why:
            return None
        raise


def _unseen(what: str) -> Finding:
    said = f"These credentials may not see {what}."
    return Finding(State.UNKNOWN, said, "docs/setup/aws.md lists the permissions; functions do without.")


def _table(described: Mapping[str, Any] | None, table: str) -> Finding:
    if described is None:
        return _unseen(f"how {table} is made")
    found = described["Table"]
    wanted = create_table(table)
    states = {each["IndexName"]: each.get("IndexStatus") for each in found.get("GlobalSecondaryIndexes", ())}
    names = [each["IndexName"] for each in wanted["GlobalSecondaryIndexes"]]
    lacking = [name for name in names if name not in states]
    making = [name for name in names if states.get(name) in ("CREATING", "DELETING")]
    advice = _DEPLOY
    if found["TableStatus"] not in ("ACTIVE", "UPDATING"):
        said, advice = f"{table} is {found['TableStatus']}.", "Wait until it is ACTIVE."
    elif found["KeySchema"] != wanted["KeySchema"]:
        said, advice = f"{table} has another key than pk.", "It is something else's: name the right one."
    elif lacking:
        said = f"{table} has no index {' and '.join(lacking)}."
    elif making:
        said, advice = f"{' and '.join(making)} of {table} is not whole yet.", "Wait until it is ACTIVE."
    elif found.get("BillingModeSummary", {}).get("BillingMode") != "PAY_PER_REQUEST":
        said = f"{table} has provisioned capacity: beyond it, requests are refused with a 503."
    else:
        return Finding(State.OK, f"{table} is there, with both indexes, on demand.")
    return Finding(State.FAILED, said, advice)


def _time_to_live(keeps: Mapping[str, Any] | None, table: str) -> Finding:
    if keeps is None:
        return _unseen("whether old records are deleted")
    found = keeps["TimeToLiveDescription"]
    if found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING") and found.get("AttributeName") == "ttl":
        return Finding(State.OK, "Records that have an end are deleted after it.")
    said = f"{table} has no time to live on `ttl`: SLUICE_USAGE_DAYS deletes nothing."
    return Finding(State.FAILED, said, _DEPLOY)


def _backups(backups: Mapping[str, Any] | None, described: Mapping[str, Any] | None, table: str) -> Finding:
    if backups is None or described is None:
        return _unseen("whether the table can be restored")
    found = backups["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    lacking = []
    if found.get("PointInTimeRecoveryStatus") != "ENABLED":
        lacking.append("point-in-time recovery")
    if not described["Table"].get("DeletionProtectionEnabled"):
        lacking.append("deletion protection")
    if lacking:
        return Finding(State.FAILED, f"{table} has no {' and no '.join(lacking)}.", _DEPLOY)
    return Finding(State.OK, "It can be restored to any second of 35 days, and is not deleted by mistake.")


async def _write(client: DynamoClient, table: str, probe: str, now_s: int) -> Finding:
    """As functions write: under a condition, which has to hold the first time, and not the second."""
    item = {"pk": {"S": probe}, "ttl": {"N": str(now_s + _PROBE_S)}}
    put = {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
    try:
        await client.call("PutItem", put)
        try:
            await client.call("PutItem", put)
        except ConditionFailed:
            held = True
        else:
            held = False
        await client.call("DeleteItem", {"TableName": table, "Key": {"pk": item["pk"]}})
    except Unanswered as error:
        if "AccessDenied" in error.why:
            return _unseen("whether it can be written")
        raise
    except ConditionFailed:
        raise StorageUnavailable(f"{table} has an item {probe} already. Try again.") from None
    if not held:
        said = "A condition that does not hold was not looked at: limits would not hold either."
        return Finding(State.FAILED, said, "Whatever answers at this endpoint, it is no DynamoDB.")
    return Finding(State.OK, f"An item was written to {table} under a condition, and deleted.")
