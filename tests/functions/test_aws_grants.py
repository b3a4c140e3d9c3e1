"""What functions ask of DynamoDB when they are used, held against the roles that they are deployed with."""

import fnmatch
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import pytest
import yaml  # type: ignore[import-untyped] # its stubs are a package of their own

from common.access.api_key import RANDOM_BYTES, hash_key, new_key
from common.model.ids import KeyId, UserId
from common.model.principal import KeyRecord, Permission
from common.targets.registry import JOBS
from infra.aws.artifact import DEPLOYED
from infra.modules import REPOSITORY
from tests.support import answers
from tests.support.dynamodb import moto, open_dynamo
from tests.support.emulator import emulated
from tests.support.origin import Exchange, origin

KEY: Final = new_key(bytes(range(RANDOM_BYTES)))
SETTINGS: Final = """
[providers.scripted]
kind = "openai"
base_url = "{url}/v1"
[models.demo]
targets = ["scripted/upstream-demo"]
price = {{ input = "1", output = "2" }}
context_length = 10_000
[routing]
probe = true
[plans.limited]
requests_per_minute = 1_000
budget = {{ total = "5.00" }}
"""
ROLES: Final = {"chat_completions": "ChatRole"}  # else by the function's name
PARTS: Final = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


class Call(NamedTuple):
    """As IAM sees it."""

    action: str
    resource: str
    keys: tuple[str, ...]  # the items' names


def calls_of(operation: str, asked: Mapping[str, Any]) -> Iterator[Call]:
    """Of one request to DynamoDB. A transaction needs the permissions of its parts."""
    match operation:
        case "TransactWriteItems":
            for item in asked["TransactItems"]:
                [(part, each)] = item.items()
                yield from calls_of(PARTS[part], each)
        case "BatchGetItem":
            [named] = asked["RequestItems"].values()
            yield Call(operation, "Table.Arn", tuple(key["pk"]["S"] for key in named["Keys"]))
        case "Query" | "Scan":
            yield Call(operation, f"${{Table.Arn}}/index/{asked['IndexName']}", ())
        case _:
            yield Call(operation, "Table.Arn", ((asked.get("Key") or asked["Item"])["pk"]["S"],))


class Roles(yaml.SafeLoader):  # type: ignore[misc] # see its import
    """CloudFormation's YAML: of a reference, its text."""


Roles.add_multi_constructor("!", lambda _loader, _suffix, node: node.value)


def statements(name: str) -> Sequence[Mapping[str, Any]]:
    """Of a function's role."""
    resources = yaml.load((REPOSITORY / "infra/aws/roles.yml").read_text(), Roles)["Resources"]
    [policy] = resources[ROLES.get(name, f"{name.capitalize()}Role")]["Properties"]["Policies"]
    found: Sequence[Mapping[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def allows(statement: Mapping[str, Any], call: Call) -> bool:
    """Whether one statement is enough for a call."""
    resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
    patterns = (
        statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", ["*"])
    )
    return (
        f"dynamodb:{call.action}" in statement["Action"]
        and call.resource in resources
        and all(any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns) for key in call.keys)
    )


@dataclass
class Used:
    """A deployed function in use, and what it has asked of DynamoDB."""

    url: str
    client: httpx2.AsyncClient
    calls: list[Call] = field(default_factory=list)

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """A request that succeeds."""
        answer = await self.client.request(
            method, self.url + path, json=body, headers={"authorization": f"Bearer {KEY}"}
        )
        assert answer.is_success, answer.text
        return answer.json()


async def use(used: Used, name: str) -> None:
    """Each of an endpoint's routes, as clients use them."""
    match name:
        case "chat_completions":
            asked = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
            for _ in range(2):
                await used.ask("POST", "/v1/chat/completions", asked)
        case "health":
            assert (await used.ask("GET", "/health/ready"))["checks"]
        case "models":
            assert (await used.ask("GET", "/v1/models"))["data"]
        case "usage":
            for path in ("/v1/usage?start_time=1", "/v1/usage?start_time=1&user_ids=ada", "/v1/keys/me"):
                await used.ask("GET", path)
        case _:
            made = await used.ask("POST", "/v1/keys", {"name": "one"})
            path = f"/v1/keys/{made['id']}"
            await used.ask("PATCH", path, {"name": "two"})
            await used.ask("POST", f"{path}/rotate", {"grace_ms": 1_000})
            await used.ask("POST", f"{path}/rotate")
            await used.ask("GET", "/v1/keys")
            await used.ask("GET", "/v1/keys?user=ada")
            await used.ask("DELETE", path)


async def whole(exchange: Exchange) -> None:
    """A whole answer of the provider."""
    await exchange.answer(answers.completion("Hello."), "200 OK", "content-type: application/json")


@asynccontextmanager
async def in_use(name: str, folder: Path) -> AsyncIterator[list[Call]]:
    """Deploy a function, use it, and tell what it asked."""
    calls: list[Call] = []
    async with httpx2.AsyncClient(timeout=60) as client, open_dynamo(moto()) as store:

        async def pass_on(exchange: Exchange) -> None:
            asked = exchange.asked
            [target] = asked.values("x-amz-target")
            calls.extend(calls_of(target.partition(".")[2], json.loads(asked.body)))
            headers = [(key, value) for key, value in asked.headers if key != "host"]
            answer = await client.post(store.url, content=asked.body, headers=headers)
            await exchange.answer(
                answer.content, f"{answer.status_code} Said", "content-type: application/json"
            )

        record = KeyRecord(
            id=KeyId("key_0"),
            key_hash=hash_key(KEY),
            user=UserId("ada"),
            name="test",
            permissions=frozenset(Permission),
            created_ms=1,
            plan="limited",
        )
        await store.keys().create(record)
        async with origin(whole) as provider, origin(pass_on) as dynamo:
            (folder / "sluice.toml").write_text(SETTINGS.format(url=provider.url))
            variables = {"SLUICE_TABLE": store.table, "SLUICE_DYNAMODB_ENDPOINT": dynamo.url}
            handler = f"common.targets.aws.entry.{name}"
            async with emulated(handler, variables=variables, folder=folder) as lambda_:
                if name in JOBS:
                    await lambda_.trigger({})
                else:
                    await use(Used(lambda_.url, client), name)
                    await lambda_.is_quiet()
    yield calls


@pytest.mark.parametrize("name", DEPLOYED)
async def test_role_is_enough(name: str, tmp_path: Path) -> None:
    """Whatever a function asks of the table when it is used, its role allows."""
    async with in_use(name, tmp_path) as calls:
        granted = statements(name)
        assert calls
        assert not [call for call in calls if not any(allows(statement, call) for statement in granted)]


def test_roles_that_only_read_cannot_touch_money() -> None:
    """Functions that are not metered write neither meters nor records."""
    for name in ("health", "keys", "models", "usage"):
        for item in ("key:key_0", "user:ada", "req_0"):
            for action in ("PutItem", "UpdateItem", "DeleteItem"):
                call = Call(action, "Table.Arn", (item,))
                assert not any(allows(statement, call) for statement in statements(name))
