"""Which model is asked, over real sockets: by name, by what the request needs, and what it is sent."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from common.model.limits import Limit
from common.model.principal import DEFAULT_PERMISSIONS, Permission
from tests.support.callers import caller
from tests.support.scripted import ASK, ScriptedGateway, scripted

MODELS: Final = """
[models.able]
tier = "premium"
targets = [
    { to = "one/plain", unsupported = ["tools"], modalities = ["text"], context_length = 1000 },
    { to = "one/all", max_output_tokens = 50 },
    "one/last",
]
price = { input = "1", output = "1" }
[models.small]
tier = "budget"
targets = [{ to = "one/small", unsupported = ["tools", "structured_outputs"] }]
modalities = ["text"]
context_length = 100
price = { input = "0.1", output = "0.1" }
[models.longer]
targets = ["one/longer"]
context_length = 1000
[models.short]
targets = ["one/short"]
context_length = 100
context_fallbacks = ["longer"]
[models.picky]
targets = ["one/picky"]
unsupported = ["temperature", "top_p"]
rename = { max_tokens = "max_completion_tokens" }
system_role = "developer"
price = { input = "1", output = "1" }
[models."star/*"]
targets = ["one/*"]
[aliases]
other = ["small", "able"]
"""
TOOLS: Final = [{"type": "function", "function": {"name": "f"}}]
IMAGE: Final = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://images.example/a.png"}}]}
]


def long(tokens: int) -> list[dict[str, str]]:
    """Messages that are about as long."""
    return [{"role": "user", "content": "word" * tokens}]


@asynccontextmanager
async def gateway(*permissions: Permission, **options: Any) -> AsyncIterator[ScriptedGateway]:
    """With these models, before a provider that answers."""
    options["permissions"] = DEFAULT_PERMISSIONS | set(permissions)
    async with scripted(server=MODELS, **options) as each:
        yield each


def sent(gateway: ScriptedGateway) -> list[dict[str, Any]]:
    """What the provider was sent."""
    return [json.loads(exchange.asked.body) for exchange in gateway.provider.exchanges]


@pytest.mark.parametrize(
    ("members", "asked"),
    [
        ({}, "plain"),
        ({"tools": TOOLS}, "all"),
        ({"messages": IMAGE}, "all"),
        ({"messages": long(1_100)}, "all"),
        ({"tools": TOOLS, "max_tokens": 51}, "last"),
        ({"model": "other"}, "small"),
        ({"model": "other", "tools": TOOLS}, "all"),
        ({"model": "sluice/auto"}, "small"),
        ({"model": "sluice/auto", "messages": IMAGE}, "all"),
        ({"model": "sluice/budget"}, "small"),
        ({"model": "star/vendor/model"}, "vendor/model"),
        ({"model": "short"}, "short"),
        ({"model": "short", "messages": long(200)}, "longer"),
    ],
)
async def test_who_is_asked(members: Mapping[str, Any], asked: str) -> None:
    """The first that can answer, and nobody else."""
    async with gateway() as each:
        answer = await each.chat({"model": "able", "messages": ASK, **members})
        assert answer.status == 200
        assert [body["model"] for body in sent(each)] == [asked]


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"tools": TOOLS}, "unsupported_capability", "tools"),
        ({"response_format": {"type": "json_schema"}}, "unsupported_capability", "response_format"),
        ({"messages": IMAGE}, "unsupported_capability", "messages"),
        ({"messages": long(400)}, "context_length_exceeded", "messages"),
        ({"model": "short", "messages": long(1_600)}, "context_length_exceeded", "messages"),
    ],
)
async def test_nobody_can_answer(members: Mapping[str, Any], code: str, param: str) -> None:
    """A 400 that says what is missing, and nothing is sent."""
    async with gateway() as each:
        answer = await each.chat({"model": "small", "messages": ASK, **members})
        assert (answer.status, answer.error["code"], answer.error["param"]) == (400, code, param)
        assert sent(each) == []


async def test_no_such_model() -> None:
    """A name that is none is told what it may have been meant for."""
    async with gateway() as each:
        answer = await each.chat({"model": "smal", "messages": ASK})
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert "Did you mean `small`" in answer.error["message"]


async def test_a_key_reaches_what_it_may_ask_for() -> None:
    """A name that stands for others is no way to those that a key is not for."""
    async with gateway() as each:
        key = await caller(each, 1, "alice", "chat", models=("other", "short", "able", "sluice/*"))

        async def asked(model: str, messages: Any = ASK) -> int:
            body = {"model": model, "messages": messages}
            return (await key.ask("POST", "/v1/chat/completions", body)).status

        assert await asked("other") == 200
        assert await asked("sluice/budget") == 404
        assert await asked("short", long(200)) == 400
        assert [body["model"] for body in sent(each)] == ["plain"]


async def test_why_is_told_to_operators() -> None:
    """Keys with `admin` are told who was to be asked, and who not and why; others are not."""
    async with gateway(Permission.ADMIN) as each:
        answer = await each.chat({"model": "able", "messages": ASK, "tools": TOOLS})
        assert answer.header("x-sluice-route") == "priority: one/all, one/last; not one/plain (tools)"
    async with gateway() as each:
        answer = await each.chat({"model": "able", "messages": ASK, "tools": TOOLS})
        assert answer.header("x-sluice-route") is None


PICKY: Final = {
    "model": "picky",
    "messages": [{"role": "system", "content": "Be brief."}, *ASK],
    "temperature": 0.5,
    "top_p": None,
    "max_tokens": 20,
    "seed": 12345678901234567890,
}


async def test_what_a_model_does_not_take() -> None:
    """It is left out and told, other names are put in, and the rest goes on as it was sent."""
    async with gateway() as each:
        answer = await each.chat(PICKY)
        assert answer.status == 200
        assert answer.header("x-sluice-dropped") == "temperature"
        assert sent(each) == [
            {
                "model": "picky",
                "messages": [{"role": "developer", "content": "Be brief."}, *ASK],
                "max_completion_tokens": 20,
                "seed": 12345678901234567890,
            }
        ]
        assert (await each.chat({"model": "able", "messages": ASK})).header("x-sluice-dropped") is None


async def test_a_maximum_that_a_budget_needs_is_renamed_too() -> None:
    """What the hold goes by is sent by the name that the model knows."""
    async with gateway(overrides={Limit.BUDGET_TOTAL: 10**6}) as each:
        answer = await each.chat({"model": "picky", "messages": ASK, "max_tokens": 10**6})
        assert answer.status == 200
        [body] = sent(each)
    assert "max_tokens" not in body
    assert 0 < body["max_completion_tokens"] < 10**6


async def test_nothing_is_dropped_where_that_is_forbidden() -> None:
    """A 400 names what the model does not take, and nothing is sent."""
    async with gateway(routing="drop_params = false") as each:
        answer = await each.chat(PICKY)
        assert (answer.status, answer.error["code"]) == (400, "unsupported_parameter")
        assert answer.error["param"] == "temperature"
        assert sent(each) == []
