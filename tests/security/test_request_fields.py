"""What a client may say without moving the gateway: API3, API7 and CVE-2024-6587."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from common.model.limits import Limit
from tests.support.answers import completion
from tests.support.origin import Exchange, Origin, origin
from tests.support.scripted import PROVIDER_KEY, REQUEST, ScriptedGateway, answering, scripted


async def take(exchange: Exchange) -> None:
    """Whoever comes here was sent by the client."""
    await exchange.answer(completion("taken"), "200 OK", "content-type: application/json")


@asynccontextmanager
async def beside_another() -> AsyncIterator[tuple[ScriptedGateway, Origin]]:
    """A gateway, and a server that the client would like it to ask."""
    async with origin(take) as evil, scripted() as gateway:
        yield gateway, evil


def fields(evil: str) -> Mapping[str, Any]:
    """What peers have obeyed, or what somebody might hope to be obeyed."""
    return {
        "api_base": evil,
        "base_url": evil,
        "api_key": "sk-client",
        "custom_llm_provider": "openai",
        "extra_headers": {"authorization": "Bearer sk-client"},
        "fallbacks": [{"model": "twice", "api_base": evil}],
        "litellm_params": {"api_base": evil},
        "metadata": {"api_base": evil, "user_api_key": "sk-client"},
        "mock_response": "mocked",
        "mock_tool_calls": [],
        "price": 0,
        "input_cost_per_token": 0,
        "max_budget": 10**9,
        "cost_nanousd": 0,
        "user_config": {"model_list": [{"litellm_params": {"api_base": evil}}]},
        "webhook": evil,
    }


@pytest.mark.parametrize("name", fields(""))
async def test_fields_that_would_move_the_gateway(name: str) -> None:
    """CVE-2024-6587: a field that names an address, a key, a price or an answer goes to the provider, and does nothing.

    The provider that is configured is asked, with its own key and no header of the client's; nobody else is.
    """
    async with beside_another() as (gateway, evil):
        value = fields(evil.url)[name]
        answer = await gateway.chat({**REQUEST, name: value})
        await gateway.background.drain(5)
        [exchange], [record] = gateway.provider.exchanges, gateway.held.meter.settled
        assert evil.exchanges == []
    assert (answer.status, answer.body) == (200, completion())
    assert exchange.asked.target == "/one/chat/completions"
    assert exchange.asked.values("authorization") == [f"Bearer {PROVIDER_KEY}"]
    assert json.loads(exchange.asked.body)[name] == value
    assert record.cost_nanousd == 13_000


async def test_headers_of_the_client_stay_here() -> None:
    """API3: no header of the client's reaches the provider: not its key, its organisation, its cookies or addresses."""
    lines = (
        "openai-organization: org-1",
        "openai-project: proj-1",
        "cookie: a=b",
        "x-forwarded-for: 10.0.0.1",
        "x-forwarded-host: evil.example",
        "x-request-id: mine",
        "user-agent: mine",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-litellm-api-base: http://evil.example",
    )
    async with scripted() as gateway:
        for each in ((), lines):
            assert (await gateway.chat(REQUEST, *each)).status == 200
        plain, full = (exchange.asked.headers for exchange in gateway.provider.exchanges)
    assert full == plain
    assert {name for name, _ in full} == {
        *("host", "user-agent", "accept-encoding", "content-type", "content-length", "authorization"),
    }
    assert gateway.held.key not in str(full)


@pytest.mark.parametrize(
    "model",
    [
        "http://169.254.169.254/latest/meta-data",
        "one/upstream-hello",
        "one/other",
        "upstream-hello",
        "../one/upstream-hello",
        "hello/../twice",
        "hello?api_base=http://evil.example",
        "hello\u0000",
        "hello\r\nx: y",
        "HELLO",
        "*",
        "__proto__",
    ],
)
async def test_models_that_are_none(model: str) -> None:
    """API7: a model is one of the configured names, letter by letter; an address, a path or a target is none."""
    async with scripted() as gateway:
        answer = await gateway.chat({**REQUEST, "model": model})
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        assert gateway.provider.exchanges == []


async def test_addresses_in_messages_are_not_fetched() -> None:
    """API7: an image's address goes to the provider as it is; the gateway asks nobody for it."""
    async with beside_another() as (gateway, evil):
        part = {"type": "image_url", "image_url": {"url": f"{evil.url}/latest/meta-data"}}
        answer = await gateway.chat({**REQUEST, "messages": [{"role": "user", "content": [part]}]})
        assert answer.status == 200
        assert evil.exchanges == []
        [exchange] = gateway.provider.exchanges
        assert json.loads(exchange.asked.body)["messages"][0]["content"] == [part]


@pytest.mark.parametrize("field", ["plugins", "web_search_options", "models", "service_tier", "prediction"])
async def test_fields_that_spend(field: str) -> None:
    """API4, LLM10: a field that may cost what nobody has priced is refused for a key with a budget."""
    async with scripted(overrides={Limit.BUDGET_DAY: 10**12}) as gateway:
        answer = await gateway.chat({**REQUEST, field: ["x"]})
        assert (answer.status, answer.error["code"], answer.error["param"]) == (
            400,
            "unpriced_feature",
            field,
        )
        assert gateway.provider.exchanges == []


@pytest.mark.parametrize("amount", [129, 10**30, -1, 0])
async def test_number_of_answers_is_bounded(amount: int) -> None:
    """API4: nobody asks for answers without number."""
    async with scripted() as gateway:
        answer = await gateway.chat({**REQUEST, "n": amount})
    assert (answer.status, answer.error["param"]) == (400, "n")


async def test_system_prompts_are_not_told() -> None:
    """LLM07: a refusal does not repeat the messages, and a provider's failure does not either."""
    secret = {"role": "system", "content": "SYSTEM-PROMPT"}
    async with scripted(answering(b'{"error":{"message":"no"}}', "400 Bad Request")) as gateway:
        wrong = await gateway.chat(
            {**REQUEST, "messages": [secret, {"role": "robot", "content": "SYSTEM-PROMPT"}]}
        )
        rejected = await gateway.chat({**REQUEST, "messages": [secret]})
    assert (wrong.status, rejected.status) == (400, 400)
    assert b"SYSTEM-PROMPT" not in wrong.body + rejected.body
