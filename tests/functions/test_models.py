"""`/v1/models` over real sockets: what a key may ask for, and what is known of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from openai import AsyncOpenAI, NotFoundError

from common.model.limits import Limit
from tests.support.callers import Caller, caller
from tests.support.scripted import scripted

MODELS: Final = """
[models."vendor/large:free"]
targets = ["one/large", { to = "one/other", price = { input = "9", output = "9" }, context_length = 5 }]
tier = "premium"
modalities = ["text", "image", "text"]
context_length = 128_000
max_output_tokens = 16_384
price = { input = "0.15", output = "0.60", cache_read = "0.075" }
[models."Größe 50% / \\"x\\"?"]
targets = ["one/odd"]
[models.everything]
targets = ["one/x"]
[models.everything.price]
input = "1"
output = "2000"
cache_read = "0"
cache_write = "0.000001"
reasoning = "3"
image = "4"
audio = "5"
request = "0.005"
[models.mixed]
targets = ["one/unpriced", { to = "one/priced", price = { input = "1", output = "2" }, context_length = 7 }]
[models."wild/*"]
targets = ["one/*"]
[aliases]
some = ["vendor/large:free", "mixed"]
large = "vendor/large:free"
"""
NOTHING: Final = {"object": "model", "created": 0, "owned_by": "sluice"}
LARGE: Final = {
    "id": "vendor/large:free",
    "object": "model",
    "created": 0,
    "owned_by": "sluice",
    "tier": "premium",
    "context_length": 128_000,
    "max_output_tokens": 16_384,
    "modalities": ["text", "image"],
    "pricing": {"prompt": "0.00000015", "completion": "0.0000006", "input_cache_read": "0.000000075"},
}
ODD: Final = 'Größe 50% / "x"?'
VIRTUAL: Final = ["sluice/auto", "sluice/premium"]  # of the one that has a tier
BUDGET: Final = {"overrides": {Limit.BUDGET_TOTAL: 10**9}}


@asynccontextmanager
async def asked_by(*permissions: str, **what: Any) -> AsyncIterator[Caller]:
    """A gateway with these models besides, and a key."""
    async with scripted(server=MODELS) as gateway:
        yield await caller(gateway, 1, "alice", *permissions, **what)


async def names(key: Caller) -> list[str]:
    """What is listed for the key."""
    answer = await key.ask("GET", "/v1/models")
    assert (answer.status, answer.json["object"]) == (200, "list")
    return [model["id"] for model in answer.json["data"]]


@pytest.mark.parametrize(
    "path", ["vendor/large:free", "vendor%2Flarge%3Afree", "vendor%2flarge:free", "%76endor/large%3Afree"]
)
async def test_one_model(path: str) -> None:
    """What is known of a model, by its name with slashes as they are or encoded; the list has the same."""
    async with asked_by("models") as key:
        answer = await key.ask("GET", f"/v1/models/{path}")
        assert (answer.status, answer.json) == (200, LARGE)
        assert LARGE in (await key.ask("GET", "/v1/models")).json["data"]


async def test_every_price() -> None:
    """Each class that has a price of its own is told in USD per token, a request in USD; exact, no exponents."""
    async with asked_by("models") as key:
        pricing = (await key.ask("GET", "/v1/models/everything")).json["pricing"]
    assert pricing == {
        "prompt": "0.000001",
        "completion": "0.002",
        "input_cache_read": "0",
        "input_cache_write": "0.000000000001",
        "internal_reasoning": "0.000003",
        "image_token": "0.000004",
        "audio": "0.000005",
        "request": "0.005",
    }


async def test_what_nobody_has_said() -> None:
    """A model of which only its target is configured has OpenAI's four members and no more."""
    async with asked_by("models") as key:
        answer = await key.ask("GET", "/v1/models/twice")
    assert answer.json == {"id": "twice", "object": "model", "created": 0, "owned_by": "sluice"}


async def test_all_are_listed_by_name() -> None:
    """A key that is not bound sees all models, in the order of their names."""
    async with asked_by("models") as key:
        assert await names(key) == [
            ODD,
            "everything",
            "hello",
            "large",
            "mixed",
            *VIRTUAL,
            "some",
            "twice",
            "vendor/large:free",
        ]


@pytest.mark.parametrize(
    ("patterns", "seen"),
    [
        (("vendor/*",), ["vendor/large:free"]),
        (("hello", "t*"), ["hello", "twice"]),
        (("VENDOR/*", "other"), []),
    ],
)
async def test_models_of_the_key(patterns: tuple[str, ...], seen: list[str]) -> None:
    """A key sees those that it may ask for."""
    async with asked_by("models", models=patterns) as key:
        assert await names(key) == seen


async def test_models_out_of_reach_are_as_if_they_were_not() -> None:
    """What the key may not ask for, and what there is not, get the same answer but for the name that was asked."""
    async with asked_by("models", models=("hello",)) as key:
        there = await key.ask("GET", "/v1/models/vendor/large:free")
        nowhere = await key.ask("GET", "/v1/models/vendor/large:none")
    assert there.status == nowhere.status == 404
    assert (there.error["code"], there.error["param"]) == ("model_not_found", "model")
    assert there.body.replace(b":free", b":none") == nowhere.body


async def test_budgets_need_prices() -> None:
    """To a key with a budget, a model without any price is not there; of others, the first target with one is told."""
    async with asked_by("models", **BUDGET) as key:
        assert await names(key) == [
            "everything",
            "hello",
            "large",
            "mixed",
            *VIRTUAL,
            "some",
            "vendor/large:free",
        ]
        assert (await key.ask("GET", "/v1/models/twice")).error["code"] == "model_not_found"
        mixed = (await key.ask("GET", "/v1/models/mixed")).json
    assert (mixed["pricing"]["prompt"], mixed["context_length"]) == ("0.000001", 7)


async def test_without_a_budget_the_first_target_is_told() -> None:
    """Prices are of the target that is asked first: where it has none, none are told."""
    async with asked_by("models") as key:
        mixed = (await key.ask("GET", "/v1/models/mixed")).json
    assert mixed.keys() == {"id", "object", "created", "owned_by"}


async def test_names_that_stand_for_others() -> None:
    """Aliases and virtual models say whose names they are; of one model they say what it does, of several no more."""
    async with asked_by("models") as key:
        one = (await key.ask("GET", "/v1/models/large")).json
        several = (await key.ask("GET", "/v1/models/some")).json
        virtual = (await key.ask("GET", "/v1/models/sluice/auto")).json
    assert one == {**LARGE, "id": "large", "models": ["vendor/large:free"]}
    assert several == {**NOTHING, "id": "some", "models": ["vendor/large:free", "mixed"]}
    assert virtual == {**LARGE, "id": "sluice/auto", "models": ["vendor/large:free"]}


async def test_names_that_stand_for_what_a_key_may_reach() -> None:
    """Of several models, a key is told those that it may ask for; where there are none, the name is not there."""
    async with asked_by("models", models=("some", "large", "mixed")) as key:
        assert await names(key) == ["mixed", "some"]
        assert (await key.ask("GET", "/v1/models/some")).json["models"] == ["mixed"]
        assert (await key.ask("GET", "/v1/models/large")).error["code"] == "model_not_found"


async def test_a_name_with_a_star() -> None:
    """What fits it can be asked for by itself; the list can't have it."""
    async with asked_by("models", models=("wild/[a-z]*", "wild/*")) as key:
        assert await names(key) == []
        answer = await key.ask("GET", "/v1/models/wild/some/model")
        assert (answer.status, answer.json) == (200, {**NOTHING, "id": "wild/some/model"})
        assert (await key.ask("GET", "/v1/models/wild/")).status == 404


@pytest.mark.parametrize("path", ["", "/hello"])
async def test_permission(path: str) -> None:
    """Both need the permission `models`."""
    async with asked_by("chat") as key:
        answer = await key.ask("GET", f"/v1/models{path}")
    assert (answer.status, answer.error["code"]) == (403, "insufficient_permissions")


async def test_other_methods() -> None:
    """A model cannot be deleted here, as fine-tuned ones can at OpenAI; HEAD is GET without its body."""
    async with asked_by("models") as key:
        refused = await key.ask("DELETE", "/v1/models/vendor/large:free")
        head = await key.ask("HEAD", "/v1/models/vendor/large:free")
    assert (refused.status, refused.header("allow")) == (405, "GET, HEAD, OPTIONS")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize("name", ["vendor/large:free", ODD])
async def test_official_client(name: str) -> None:
    """`models.retrieve` finds what `models.list` lists, slashes, spaces and all, and has the members besides."""
    async with (
        asked_by("models") as key,
        AsyncOpenAI(base_url=f"{key.gateway.url}/v1", api_key=key.key, max_retries=0) as client,
    ):
        listed = {model.id: model async for model in client.models.list()}
        model = await client.models.retrieve(name)
        assert model == listed[name]
        assert (model.id, getattr(model, "tier", None)) == (name, "premium" if name != ODD else None)
        with pytest.raises(NotFoundError) as raised:
            await client.models.retrieve("vendor/none")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
