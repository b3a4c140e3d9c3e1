"""`GET /v1/usage`, receipts and `GET /v1/keys/me` over real sockets."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from openai.types.admin.organization.usage_completions_response import UsageCompletionsResponse

from common.adapters.clock import SystemClock
from common.http.usage_shapes import DESCRIBED, UsageParameters
from common.metering.rows import Records
from common.model.ids import RequestId, UserId, first_id
from common.model.limits import Limit
from common.model.principal import Permission, UserRecord
from common.model.usage import Booked, Tokens, UsageRecord
from common.wire.receipt import Receipt
from tests.support.callers import Caller, caller
from tests.support.origin import Exchange
from tests.support.records import ANSWERED, BROKEN, UNSENT, as_of_old, usage_record
from tests.support.scripted import REQUEST, ScriptedGateway, answering, scripted
from tests.support.wire import Answer

USAGE: Final = "/v1/usage"
ME: Final = "/v1/keys/me"
DAY: Final = 86_400
MIDNIGHT: Final = 20_500 * DAY  # in UTC seconds; all records begin there
SECOND: Final = 1_000


def request_id(number: int, started_s: int) -> RequestId:
    """As a request gets it whose hold lasts an hour."""
    return RequestId(f"{first_id(started_s + 3_600)}{number:010}")


def used(number: int, key: Caller, started_s: int = MIDNIGHT, **what: Any) -> UsageRecord:
    """The record of a request of a key's."""
    record = replace(
        usage_record(number),
        request_id=request_id(number, started_s),
        key_id=key.id,
        user=UserId(what.pop("user", "alice")),
        started_ms=started_s * SECOND,
    )
    return replace(record, **what)


async def keep(gateway: ScriptedGateway, *records: UsageRecord) -> None:
    """As the meter leaves them."""
    for record in records:
        await gateway.held.rows.apply([], Records(settled=record))


async def asked(key: Caller, *query: tuple[str, object], **named: object) -> Any:
    """The answer to a query, which is one."""
    answer = await ask(key, *query, **named)
    assert answer.status == 200, answer.json
    return answer.json


async def ask(key: Caller, *query: tuple[str, object], **named: object) -> Answer:
    """Ask with these parameters; all since `MIDNIGHT` where nothing else is said."""
    named.setdefault("start_time", MIDNIGHT)
    return await key.ask("GET", f"{USAGE}?{urlencode([*query, *named.items()])}")


@asynccontextmanager
async def reading(*permissions: str) -> AsyncIterator[tuple[ScriptedGateway, Caller]]:
    """A gateway, and a key that may read usage, or may what is named."""
    async with scripted() as gateway:
        yield gateway, await caller(gateway, 1, "alice", *(permissions or (Permission.USAGE_READ,)))


# -- sums --------------------------------------------------------------------------------------------------------------


async def test_page() -> None:
    """Buckets come in OpenAI's shape, those without usage too; sums and cost are exact."""
    async with reading() as (gateway, key):
        await keep(gateway, used(1, key), used(2, key, MIDNIGHT + 1), used(3, key, MIDNIGHT + 2 * DAY))
        page = await asked(key, end_time=MIDNIGHT + 3 * DAY)
    parsed = UsageCompletionsResponse.model_validate(page)
    assert (parsed.object, parsed.has_more, parsed.next_page) == ("page", False, None)
    assert [(each.start_time, each.end_time) for each in parsed.data] == [
        (MIDNIGHT + day * DAY, MIDNIGHT + (day + 1) * DAY) for day in range(3)
    ]
    first, second, third = (bucket["results"] for bucket in page["data"])
    assert second == []
    assert first == [
        {
            "object": "organization.usage.completions.result",
            "input_tokens": 2 * 22,
            "output_tokens": 2 * 45,
            "input_cached_tokens": 2 * 3,
            "input_cache_write_tokens": 2 * 1,
            "input_text_tokens": 2 * 12,
            "input_image_tokens": 2 * 6,
            "input_uncached_tokens": 2 * 18,
            "output_reasoning_tokens": 2 * 5,
            "audio_tokens": 2 * 7,
            "num_model_requests": 2,
            "num_failed_requests": 0,
            "num_estimated_requests": 0,
            "amount": {"value": "0.002469137", "currency": "usd"},
            "project_id": None,
            "user_id": None,
            "api_key_id": None,
            "model": None,
            "batch": None,
            "service_tier": None,
        }
    ]
    assert third[0]["amount"]["value"] == "0.00123457"


async def test_pages() -> None:
    """Page by page the same buckets come as at once, each once, whatever the width."""
    async with reading() as (gateway, key):
        times = (0, 59, 60, 3_599, 3_600, 7_000, DAY - 1)
        await keep(gateway, *(used(number, key, MIDNIGHT + time) for number, time in enumerate(times)))
        for width, limit in (("1m", 1_440), ("1h", 24), ("1d", 1)):
            query = {"start_time": MIDNIGHT + 30, "end_time": MIDNIGHT + DAY - 30, "bucket_width": width}
            whole = await asked(key, **query, limit=limit)
            assert whole["has_more"] is False
            buckets: list[Any] = []
            page: dict[str, Any] = {}
            while not buckets or page["has_more"]:
                more = {"page": page["next_page"]} if page else {}
                page = await asked(key, **query, **more, limit=max(1, limit // 5))
                buckets += page["data"]
            assert buckets == whole["data"]
            assert (buckets[0]["start_time"], buckets[-1]["end_time"]) == (MIDNIGHT + 30, MIDNIGHT + DAY - 30)
            counted = sum(each["num_model_requests"] for bucket in buckets for each in bucket["results"])
            assert counted == 5


@pytest.mark.parametrize(("width", "usual"), [("1m", 60), ("1h", 24), ("1d", 7)])
async def test_usual_pages(width: str, usual: int) -> None:
    """A page that nobody has asked to be longer has as many buckets as OpenAI's."""
    async with reading() as (_, key):
        page = await asked(key, bucket_width=width)
    assert (len(page["data"]), page["has_more"]) == (usual, True)


async def test_until_now() -> None:
    """Without an end the last bucket ends now, and an end that is still to come is none."""
    async with reading() as (_, key):
        before = SystemClock().now_ms() // SECOND
        for end in ({}, {"end_time": before + 10 * DAY}):
            page = await asked(key, start_time=before - DAY, **end)
            assert before < page["data"][-1]["end_time"] <= SystemClock().now_ms() // SECOND + 1
            assert page["has_more"] is False
        assert (await asked(key, start_time=before + DAY))["data"] == []


async def test_groups() -> None:
    """What is grouped by is named in each result; lists come as `name=` or as OpenAI's clients' `name[]=`."""
    async with reading(Permission.ADMIN) as (gateway, key):
        other = await caller(gateway, 2, "bob")
        await keep(
            gateway,
            used(1, key),
            used(2, key, model="smart", estimated=True),
            used(3, other, user="bob", outcome="upstream"),
        )
        query = {"end_time": MIDNIGHT + DAY}

        async def groups(*names: tuple[str, str]) -> list[Any]:
            (bucket,) = (await asked(key, *names, **query))["data"]
            told = ("model", "api_key_id", "user_id", "num_model_requests")
            return [tuple(each[name] for name in told) for each in bucket["results"]]

        assert await groups() == [(None, None, None, 3)]
        by_model = [("fast", None, None, 2), ("smart", None, None, 1)]
        assert await groups(("group_by", "model")) == await groups(("group_by[]", "model")) == by_model
        assert await groups(("group_by", "user_id")) == [(None, None, "alice", 2), (None, None, "bob", 1)]
        assert await groups(("group_by", "model"), ("group_by[]", "api_key_id"), ("group_by", "user_id")) == [
            ("fast", "key_1", "alice", 1),
            ("fast", "key_2", "bob", 1),
            ("smart", "key_1", "alice", 1),
        ]
        (bucket,) = (await asked(key, **query))["data"]
        (result,) = bucket["results"]
        assert (result["num_failed_requests"], result["num_estimated_requests"]) == (1, 1)


async def test_filters() -> None:
    """As `admin`, sums are of the keys, users and models that are named, all of them at once."""
    async with reading(Permission.ADMIN) as (gateway, key):
        other = await caller(gateway, 2, "bob")
        await keep(
            gateway, used(1, key), used(2, key, model="smart"), used(3, other, user="bob", model="smart")
        )

        async def count(*query: tuple[str, str]) -> int:
            (bucket,) = (await asked(key, *query, end_time=MIDNIGHT + DAY))["data"]
            return sum(each["num_model_requests"] for each in bucket["results"])

        assert await count() == 3
        assert await count(("models", "smart")) == 2
        assert await count(("models", "smart"), ("user_ids", "alice")) == 1
        assert await count(("api_key_ids[]", "key_1"), ("api_key_ids[]", "key_2")) == 3
        assert await count(("api_key_ids", "key_2"), ("user_ids", "alice")) == 0
        assert await count(("models", "nothing' OR 1=1 --")) == 0


WRONG: Final[Sequence[tuple[dict[str, object], str, str]]] = [
    ({"start_time": ""}, "start_time", "invalid_value"),
    ({"start_time": "yesterday"}, "start_time", "invalid_value"),
    ({"start_time": "-1"}, "start_time", "invalid_value"),
    ({"start_time": "1.5"}, "start_time", "invalid_value"),
    ({"start_time": "9" * 5_000}, "start_time", "invalid_value"),
    ({"start_time": 2**62}, "start_time", "invalid_value"),
    ({"end_time": MIDNIGHT}, "end_time", "invalid_value"),
    ({"end_time": 0}, "end_time", "invalid_value"),
    ({"bucket_width": "1w"}, "bucket_width", "invalid_value"),
    ({"bucket_width": ""}, "bucket_width", "invalid_value"),
    ({"group_by": "project_id"}, "group_by[0]", "invalid_value"),
    ({"group_by": "model,user_id"}, "group_by[0]", "invalid_value"),
    ({"limit": 0}, "limit", "invalid_value"),
    ({"limit": 32}, "limit", "invalid_value"),
    ({"limit": 169, "bucket_width": "1h"}, "limit", "invalid_value"),
    ({"limit": 1_441, "bucket_width": "1m"}, "limit", "invalid_value"),
    ({"page": ""}, "page", "invalid_value"),
    ({"page": "page_1"}, "page", "invalid_value"),
    ({"page": f"page_{MIDNIGHT}"}, "page", "invalid_value"),
    ({"page": f"page_{MIDNIGHT + 1}"}, "page", "invalid_value"),
    ({"page": f"page_{MIDNIGHT + DAY}'"}, "page", "invalid_value"),
    ({"page": "page_" + "9" * 5_000}, "page", "invalid_value"),
    ({"models": ""}, "models[0]", "invalid_value"),
    ({"models": "m" * 257}, "models[0]", "invalid_value"),
    ({"project_ids": "p"}, "project_ids", "unknown_parameter"),
    ({"api_key_id": "key_1"}, "api_key_id", "unknown_parameter"),
    ({"a\r\nb": 1}, "a\ufffd\ufffdb", "unknown_parameter"),
]


@pytest.mark.parametrize(("query", "param", "code"), WRONG, ids=[f"{q!s:.60}" for q, _, _ in WRONG])
async def test_wrong_parameters(query: dict[str, object], param: str, code: str) -> None:
    """What is not understood is refused by its name: a filter that is mistyped would else be none."""
    async with reading() as (_, key):
        answer = await ask(key, **query)
    assert answer.status == 400
    assert (answer.json["error"]["param"], answer.json["error"]["code"]) == (param, code)


async def test_parameters_that_are_missing_or_there_twice() -> None:
    """The start has to be named, and nothing twice but lists."""
    async with reading() as (_, key):
        missing = await key.ask("GET", USAGE)
        twice = await key.ask("GET", f"{USAGE}?start_time=1&start_time=2")
    assert (missing.status, missing.json["error"]["code"]) == (400, "missing_required_parameter")
    assert (twice.status, twice.json["error"]["param"]) == (400, "start_time")


def test_parameters_are_described() -> None:
    """The OpenAPI document has the parameters that there are, with their bounds."""
    schema = UsageParameters.model_json_schema()
    assert [each["name"] for each in DESCRIBED] == list(schema["properties"])
    assert [each["name"] for each in DESCRIBED if each["required"]] == schema["required"]
    for each in DESCRIBED:
        derived = json.dumps(schema["properties"][str(each["name"])])
        for word in ("minimum", "maximum", "maxItems", "maxLength"):
            bound = each["schema"].get(word) or each["schema"].get("items", {}).get(word)
            assert bound is None or f'"{word}": {bound}' in derived


# -- receipts ----------------------------------------------------------------------------------------------------------


def recomputed(receipt: Any) -> Decimal:
    """The cost by the receipt's own words alone."""
    total = Decimal(0)
    for attempt in receipt["attempts"]:
        cost = Decimal(attempt["cost"])
        if attempt["booked"] in {"usage", "estimate"}:
            prices = attempt["prices"]
            exact = Decimal(prices["request"])
            for name, count in attempt["tokens"].items():
                if name != "total":
                    exact += Decimal(prices[name]) * count / 1_000_000
            assert cost == exact.quantize(Decimal("1e-9"), ROUND_CEILING)
        elif attempt["booked"] == "nothing":
            assert cost == 0
        total += cost
    return total


async def test_receipt_of_a_request() -> None:
    """The receipt of a request that was made here tells what it cost, to the nano-dollar, and where its time went."""
    async with scripted(overrides={Limit.BUDGET_TOTAL: 10**9}) as gateway:
        answer = await gateway.chat({**REQUEST, "max_tokens": 50})
        await gateway.background.drain(5)
        told = await gateway.send("GET", f"{USAGE}/{answer.header('x-request-id')}", gateway.bearer)
        [record] = gateway.held.meter.settled
    receipt = told.json
    assert (told.status, receipt["id"], receipt["api_key_id"]) == (200, record.request_id, "key_test")
    assert recomputed(receipt) == Decimal(receipt["cost"]) == Decimal(record.cost_nanousd).scaleb(-9) > 0
    assert Decimal(receipt["held"]) == Decimal(record.held_nanousd).scaleb(-9)
    latency = receipt["latency_ms"]
    assert abs(latency["gateway"] + latency["storage"] + latency["upstream"] - latency["total"]) <= 1.5
    assert latency["storage"] > 0
    assert receipt["tokens"]["total"] == record.tokens.total


async def test_receipt() -> None:
    """A receipt tells all that the record knows."""
    async with reading() as (gateway, key):
        record = used(1, key)
        await keep(gateway, record)
        receipt = (await key.ask("GET", f"{USAGE}/{record.request_id}")).json
    assert recomputed(receipt) == Decimal(receipt["cost"]) == Decimal("0.001234568")
    assert [attempt["prices"]["input"] for attempt in receipt["attempts"]] == ["0.2", "0.15"]
    assert [attempt["ended"] for attempt in receipt["attempts"]] == ["provider_error", "ok"]
    assert receipt["latency_ms"] == {
        "total": 2_400,
        "first_byte": 180,
        "gateway": 11.125,
        "storage": 7.125,
        "upstream": 2_380,
    }
    assert (receipt["held"], receipt["overrun"], receipt["provider_cost"]) == ("0.002", "0.00", "0.0012")
    assert (receipt["session_id"], receipt["end_user"]) == (record.session_id, record.end_user)


async def test_receipt_of_what_is_less_known() -> None:
    """Old and abandoned records have receipts; what nobody knows is null, and what cost nothing has no price."""
    async with reading() as (gateway, key):
        old = replace(as_of_old(used(1, key)), abandoned=True, cost_nanousd=2_000_000)
        unsent = used(2, key, route=(UNSENT,), cost_nanousd=0, tokens=Tokens())
        held = used(3, key, route=(replace(ANSWERED, booked=Booked.HOLD, cost_nanousd=2_000_000),))
        await keep(gateway, old, unsent, held)
        receipts = [(await key.ask("GET", f"{USAGE}/{each.request_id}")).json for each in (old, unsent, held)]
    assert receipts[0]["provisional"] == "abandoned"
    assert (receipts[0]["attempts"], receipts[0]["cost"]) == ([], "0.002")
    assert receipts[0]["latency_ms"] == {
        "total": 2_400,
        "first_byte": 180,
        "gateway": None,
        "storage": None,
        "upstream": None,
    }
    assert receipts[1]["attempts"][0]["prices"] is None
    assert recomputed(receipts[1]) == 0
    assert recomputed(receipts[2]) == Decimal("0.002")


NOT_TOLD: Final = {"sub_window"}  # the meter's own
RENAMED: Final = {
    "abandoned": "provisional",
    "awaiting": "provisional",
    "request_id": "id",
    "key_id": "api_key_id",
    "user": "user_id",
    "cost_nanousd": "cost",
    "held_nanousd": "held",
    "provider_cost_nanousd": "provider_cost",
    "route": "attempts",
    "first_byte_ms": "latency_ms",
    "total_ms": "latency_ms",
    "gateway_us": "latency_ms",
    "storage_us": "latency_ms",
}


def test_receipt_has_every_field() -> None:
    """Whatever a record comes to know is in its receipt."""
    receipt = Receipt.of(usage_record(1)).model_dump(mode="json")
    in_attempts = {"provider", "upstream_model"}
    named = {RENAMED.get(field.name, field.name) for field in fields(UsageRecord)} - NOT_TOLD - in_attempts
    assert named <= receipt.keys()
    assert {"provider", "model"} <= receipt["attempts"][0].keys()
    assert BROKEN.provider == receipt["attempts"][0]["provider"]


# -- standing ----------------------------------------------------------------------------------------------------------


async def test_standing() -> None:
    """A key sees of each limit what is used, held and left, of its own and of its user's; money as exact decimals."""
    async with scripted() as gateway:
        overrides = {Limit.BUDGET_MONTH: 10**9, Limit.REQUESTS_PER_DAY: 10, Limit.MAX_PARALLEL: 2}
        key = await caller(gateway, 1, "alice", Permission.CHAT, overrides=overrides)
        await gateway.held.users.put(
            UserRecord(UserId("alice"), 0, overrides={Limit.TOKENS_PER_MINUTE: 10**5})
        )
        answer = await key.ask("POST", "/v1/chat/completions", {**REQUEST, "max_tokens": 50})
        assert answer.status == 200
        await gateway.background.drain(5)
        [record] = gateway.held.meter.settled
        before = SystemClock().now_ms()
        told = (await key.ask("GET", ME)).json
    limits = {(each["of"], each["limit"]): each for each in told["limits"]}
    assert (told["object"], told["id"], told["user"]) == ("key.standing", "key_1", "alice")
    assert [name for name in limits if name[0] == "user"] == [("user", "tokens_per_minute")]
    money = limits["key", "budget_month"]
    cost = Decimal(record.cost_nanousd).scaleb(-9)
    assert (money["value"], Decimal(money["used"]), money["held"]) == ("1.00", cost, "0.00")
    assert Decimal(money["remaining"]) == 1 - cost
    assert money["resets_at"].endswith("-01T00:00:00Z")
    requests = limits["key", "requests_per_day"]
    assert (requests["used"], requests["remaining"], requests["mode"]) == (1, 9, "enforce")
    until_midnight_s = DAY - before // SECOND % DAY
    assert until_midnight_s - 5 <= requests["resets_in_s"] <= until_midnight_s
    parallel = limits["key", "max_parallel"]
    assert (parallel["held"], parallel["remaining"], parallel["resets_in_s"]) == (0, 2, None)
    assert limits["user", "tokens_per_minute"]["used"] == record.tokens.total


async def test_standing_while_a_request_runs() -> None:
    """What a running request may still use is held, and comes back when it ends."""
    seen: list[Any] = []

    async def script(exchange: Exchange) -> None:
        seen.append((await gateway.send("GET", ME, gateway.bearer)).json["limits"])
        await answering(b"{}", "503 Service Unavailable")(exchange)

    async with scripted(script, overrides={Limit.BUDGET_TOTAL: 10**9, Limit.MAX_PARALLEL: 3}) as gateway:
        await gateway.chat({**REQUEST, "max_tokens": 50})
        await gateway.background.drain(5)
        [record] = gateway.held.meter.settled
        after = (await gateway.send("GET", ME, gateway.bearer)).json["limits"]
    parallel, money = seen[0]
    assert (parallel["used"], parallel["held"], parallel["remaining"]) == (0, 1, 2)
    assert Decimal(money["held"]) == Decimal(record.held_nanousd).scaleb(-9) > 0
    assert (money["used"], money["resets_in_s"], money["resets_at"]) == ("0.00", None, None)
    assert [each["held"] for each in after] == [0, "0.00"]


async def test_standing_of_a_key_without_limits() -> None:
    """Any key may ask about itself, whatever it may do besides; without limits there is nothing to tell."""
    async with scripted() as gateway:
        key = await caller(gateway, 1, "alice", models=("gpt-*",), expires_ms=2**50)
        told = await key.ask("GET", ME)
    assert told.status == 200
    assert told.json == {
        "object": "key.standing",
        "id": "key_1",
        "user": "alice",
        "permissions": [],
        "models": ["gpt-*"],
        "expires_ms": 2**50,
        "limits": [],
    }


@pytest.mark.parametrize("path", [USAGE, f"{USAGE}/req_0000000000000001", ME])
async def test_without_a_key(path: str) -> None:
    """Nothing is told to whoever has no key, nor whether the parameters are right."""
    async with scripted() as gateway:
        assert (await gateway.send("GET", path)).status == 401
        posted = await gateway.send("POST", path, gateway.bearer, body=b"{}")
    assert (posted.status, posted.header("allow")) == (405, "GET, HEAD, OPTIONS")
