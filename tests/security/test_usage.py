"""Usage of others: OWASP API1 (broken object level authorization), API3 and API5, and injection through filters."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest

from common.metering.rows import Records
from common.model.ids import UserId
from common.model.limits import Limit
from common.model.principal import Permission, UserRecord
from tests.functions.test_usage_api import MIDNIGHT, used
from tests.support.callers import Caller, caller
from tests.support.scripted import ScriptedGateway, scripted
from tests.support.wire import Answer

USAGE: Final = "/v1/usage"
NOT_ADMIN: Final = tuple(each for each in Permission if each is not Permission.ADMIN)
SINCE: Final = {"start_time": MIDNIGHT, "end_time": MIDNIGHT + 86_400}


@asynccontextmanager
async def tenants() -> AsyncIterator[tuple[ScriptedGateway, Caller, Mapping[str, Any]]]:
    """A key of Alice's with all permissions but `admin`, and records: its own, its user's other key's, Bob's."""
    async with scripted() as gateway:
        key = await caller(gateway, 1, "alice", *NOT_ADMIN)
        sister = await caller(gateway, 2, "alice", *NOT_ADMIN)
        stranger = await caller(gateway, 3, "bob", *NOT_ADMIN)
        records = {
            "own": used(1, key),
            "sister": used(2, sister, cost_nanousd=10**12),
            "stranger": used(3, stranger, user="bob", cost_nanousd=10**12),
            "nobody": used(4, key, key_id="", user=""),
        }
        for record in records.values():
            await gateway.held.rows.apply([], Records(settled=record))
        yield gateway, key, records


async def results(key: Caller, **query: Any) -> list[Any]:
    """Of one day."""
    answer = await key.ask("GET", f"{USAGE}?{urlencode({**SINCE, **query}, doseq=True)}")
    assert answer.status == 200, answer.json
    return [each for bucket in answer.json["data"] for each in bucket["results"]]


async def test_sums_are_ones_own() -> None:
    """A key's sums are of its own requests, however it groups: not of its user's other keys, not of other users'."""
    async with tenants() as (_, key, records):
        for group in ("model", "api_key_id", "user_id"):
            (only,) = await results(key, group_by=group)
            assert only["num_model_requests"] == 1
            assert only["amount"]["value"] == "0.001234568"
            assert only[group] in {"fast", "key_1", "alice"}
        assert records["own"].key_id == "key_1"


@pytest.mark.parametrize(
    "filters",
    [
        {"api_key_ids": ["key_2"]},
        {"api_key_ids": ["key_3"]},
        {"api_key_ids": ["key_1", "key_3"]},
        {"api_key_ids": ["key_nobody"]},
        {"api_key_ids[]": ["key_3"]},
        {"user_ids": ["bob"]},
        {"user_ids": ["alice", "bob"]},
        {"user_ids": ["nobody"]},
        {"user_ids": ["alice"], "api_key_ids": ["key_2"]},
        {"user_ids": ["ALICE"]},
        {"api_key_ids": ["key_1' OR '1'='1"]},
    ],
    ids=json.dumps,
)
async def test_sums_of_others(filters: Mapping[str, Any]) -> None:
    """Whoever asks for others is refused, and in the same words whether they exist or not."""
    async with tenants() as (_, key, _records):
        answer = await key.ask("GET", f"{USAGE}?{urlencode({**SINCE, **filters}, doseq=True)}")
    assert answer.status == 403
    assert answer.json["error"]["message"] == "A key reads its own usage only; that of others is for `admin`."


async def test_naming_oneself() -> None:
    """A key may name itself and its user, which changes nothing."""
    async with tenants() as (_, key, _records):
        assert await results(key, api_key_ids="key_1", user_ids="alice") == await results(key)


@pytest.mark.parametrize("whose", ["sister", "stranger", "nobody"])
async def test_receipts_of_others(whose: str) -> None:
    """A receipt of another key is not told from one that there is not, for a key without `admin`."""
    async with tenants() as (_, key, records):
        theirs = await key.ask("GET", f"{USAGE}/{records[whose].request_id}")
        none = await key.ask("GET", f"{USAGE}/req_0000000000000000")
        own = await key.ask("GET", f"{USAGE}/{records['own'].request_id}")
    assert (theirs.status, none.status, own.status) == (404, 404, 200)

    def told(answer: Answer, request_id: str) -> str:
        return answer.body.decode().replace(request_id, "ID")

    assert told(theirs, records[whose].request_id) == told(none, "req_0000000000000000")


async def test_admin_reads_all() -> None:
    """`admin` alone sees all sums and all receipts."""
    async with tenants() as (gateway, _, records):
        admin = await caller(gateway, 9, "carol", Permission.ADMIN)
        (everything,) = await results(admin)
        assert everything["num_model_requests"] == 4
        for record in records.values():
            assert (await admin.ask("GET", f"{USAGE}/{record.request_id}")).status == 200


@pytest.mark.parametrize("path", [f"{USAGE}?start_time=0", f"{USAGE}/req_0000000000000000"])
async def test_permission(path: str) -> None:
    """Without `usage:read` nothing is told of usage, not even to a key that may do everything else."""
    async with scripted() as gateway:
        others = [each for each in NOT_ADMIN if each is not Permission.USAGE_READ]
        key = await caller(gateway, 1, "alice", *others)
        answer = await key.ask("GET", path)
    assert (answer.status, answer.json["error"]["code"]) == (403, "insufficient_permissions")


ROWS_AND_KEYS: Final = (
    *("key:key_1", "user:alice", "key_record:key_1", "key_hash:00", "", " ", "%00", "..%2f..%2fkeys"),
    *(
        "req_",
        "req_000000000000000",
        "req_00000000000000000",
        "REQ_0000000000000000",
        "req_00000000000000%0a",
    ),
    *(
        "req_%ef%bc%900000000000000000",
        "' OR 1=1 --",
        "%ff%fe",
        "me",
        "*",
        "req_" + "x" * 5_000,
        "%1b[2J%00%e2%80%ae",
    ),
)


@pytest.mark.parametrize("name", ROWS_AND_KEYS, ids=lambda name: repr(name)[:40])
async def test_names_that_are_no_requests(name: str) -> None:
    """What is no id of a request is never looked up: a store may keep other things under other names."""
    async with scripted() as gateway:
        asked: list[str] = []

        async def find(request_id: str) -> None:
            asked.append(request_id)

        gateway.held.rows.find = find  # type: ignore[method-assign]
        admin = await caller(gateway, 1, "alice", Permission.ADMIN)
        answer = await admin.ask("GET", f"{USAGE}/{quote(name, safe='%')}")
    assert answer.status in {400, 404}
    assert answer.json["error"]["message"].isprintable()
    assert asked == []


@pytest.mark.parametrize("name", ["models", "api_key_ids", "user_ids"])
@pytest.mark.parametrize(
    "value",
    [
        "' OR '1'='1",
        "'); DROP TABLE usage; --",
        '"]}',
        "%",
        "*",
        "\x00",
        "\r\nset-cookie: a=b",
        "\N{RIGHT-TO-LEFT OVERRIDE}",
    ],
    ids=repr,
)
async def test_injection_through_filters(name: str, value: str) -> None:
    """A filter is a name and nothing else: one that nobody has finds nothing."""
    async with tenants() as (gateway, _, _records):
        admin = await caller(gateway, 9, "carol", Permission.ADMIN)
        assert await results(admin, **{name: value}) == []
        (everything,) = await results(admin)
        assert everything["num_model_requests"] == 4


async def test_standing_is_ones_own() -> None:
    """`/v1/keys/me` is the key that asks, whatever else the request names; no other key's is to be had."""
    async with scripted() as gateway:
        await gateway.held.users.put(UserRecord(UserId("bob"), 0, overrides={Limit.BUDGET_TOTAL: 7}))
        key = await caller(gateway, 1, "alice", *NOT_ADMIN, overrides={Limit.BUDGET_TOTAL: 5})
        await caller(gateway, 2, "bob", *NOT_ADMIN, overrides={Limit.BUDGET_TOTAL: 6})
        told = await key.ask("GET", "/v1/keys/me?key_id=key_2&user=bob", None, "x-key-id: key_2")
        beside = [await key.ask("GET", path) for path in ("/v1/keys/me/", "/v1/keys/me/key_2", "/v1/keys/ME")]
    assert (told.json["id"], [each["value"] for each in told.json["limits"]]) == ("key_1", ["0.000000005"])
    assert [each.status for each in beside] == [404, 404, 404]


async def test_amounts_are_exact() -> None:
    """No amount is a number that a reader would round: sums beyond what doubles hold are told to the nano-dollar."""
    async with tenants() as (gateway, key, _records):
        large = 2**53 + 1
        for number in (10, 11):
            record = used(number, key, model="large", cost_nanousd=large)
            await gateway.held.rows.apply([], Records(settled=record))
        by_model = {each["model"]: each["amount"]["value"] for each in await results(key, group_by="model")}
    assert by_model["large"] == "18014398.509481986"
