"""What a provider's answers mean for whoever examines it."""

import json
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ports import Timeouts
from common.providers.examination import (
    Finding,
    State,
    find_model,
    key_request,
    models_request,
    read_key,
    read_models,
)
from common.providers.provider import Provider, provider_of
from common.settings import ProviderKind, ProviderSettings, Secret

KEY: Final = "sk-or-v1-0123456789abcdef0123456789abcdef"
TIMEOUTS: Final = Timeouts(1, 1, 1, 1)


def provider(kind: ProviderKind, *keys: str) -> Provider:
    """One of this kind, named main."""
    base_url = None if kind is not ProviderKind.OPENAI else "https://llm.example.com/v1"
    return provider_of(ProviderSettings("main", kind, base_url, tuple(map(Secret, keys))))


OPENROUTER: Final = provider(ProviderKind.OPENROUTER, KEY)
OPENAI: Final = provider(ProviderKind.OPENAI, KEY)
ANTHROPIC: Final = provider(ProviderKind.ANTHROPIC, KEY)
KEYLESS: Final = provider(ProviderKind.OPENAI)


def key_of_openrouter(**data: Any) -> Finding:
    """What OpenRouter's answer about a key comes to."""
    usual = {"label": "sk-or-v1-au7...890", "limit": 100, "limit_remaining": 74.5, "limit_reset": None}
    return read_key(OPENROUTER, 200, {}, json.dumps({"data": usual | data}).encode())


def listing(*names: Any) -> bytes:
    """A list of models."""
    return json.dumps(
        {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}
    ).encode()


# -- what is asked


@pytest.mark.parametrize(
    ("asked", "key", "models"),
    [
        (
            OPENROUTER,
            "https://openrouter.ai/api/v1/key",
            "https://openrouter.ai/api/v1/models?output_modalities=all",
        ),
        (OPENAI, "https://llm.example.com/v1/models", "https://llm.example.com/v1/models"),
        (
            ANTHROPIC,
            "https://api.anthropic.com/v1/models?limit=1000",
            "https://api.anthropic.com/v1/models?limit=1000",
        ),
    ],
    ids=["openrouter", "openai", "anthropic"],
)
def test_requests(asked: Provider, key: str, models: str) -> None:
    """Two reads with the key, neither of which costs anything; without a body."""
    requests = key_request(asked, TIMEOUTS), models_request(asked, TIMEOUTS)
    assert [request.url for request in requests] == [key, models]
    for request in requests:
        assert (request.method, request.body, request.timeouts) == ("GET", b"", TIMEOUTS)
        header = ("x-api-key", KEY) if asked is ANTHROPIC else ("authorization", f"Bearer {KEY}")
        assert header in request.headers


def test_anthropics_errors_are_read_as_its_own() -> None:
    """A key that it refuses, and an account without credit, which it tells of with a status of 400."""
    refused = b'{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}'
    unpaid = b'{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}'
    assert read_key(ANTHROPIC, 401, {}, refused).said == "The API key is refused (401)."
    finding = read_key(ANTHROPIC, 400, {}, unpaid)
    assert finding.state is State.FAILED
    assert "no credit left" in finding.said
    assert read_key(ANTHROPIC, 200, {}, listing("claude-opus-4-8")).state is State.OK


# -- OpenRouter's keys


@pytest.mark.parametrize(
    ("data", "state", "said"),
    [
        ({}, State.OK, "The API key sk-or-v1-au7...890 is accepted; 74.50 of 100.00 USD are left."),
        (
            {"limit_reset": "monthly", "label": "gateway"},
            State.OK,
            "The API key gateway is accepted; 74.50 of 100.00 USD are left, monthly.",
        ),
        ({"limit_remaining": 0}, State.FAILED, "accepted; 0.00 of 100.00 USD are left."),
        ({"limit_remaining": -0.002}, State.FAILED, "of 100.00 USD are left."),
        ({"limit": None, "limit_remaining": None}, State.OK, "it has no credit limit of its own."),
        ({"is_management_key": True}, State.FAILED, "management key"),
        ({"is_provisioning_key": True}, State.FAILED, "management key"),
        ({"label": KEY}, State.OK, "The API key is accepted;"),
        ({"label": "a\x1b[31m"}, State.OK, "The API key is accepted;"),
        ({"label": "x" * 65}, State.OK, "The API key is accepted;"),
        (
            {"label": 5, "limit_reset": "\x1b[31m"},
            State.OK,
            "The API key is accepted; 74.50 of 100.00 USD are left.",
        ),
        ({"limit": "100", "limit_remaining": True}, State.OK, "no credit limit"),
        ({"limit": 1e300, "limit_remaining": 1e300}, State.OK, "no credit limit"),
    ],
)
def test_openrouter_key(data: dict[str, Any], state: State, said: str) -> None:
    """A key is good, spent, or none for models; nothing else that stands there does harm."""
    finding = key_of_openrouter(**data)
    assert finding.state is state
    assert said in finding.said
    assert finding.said.isprintable()
    assert KEY not in finding.said


def test_exponents_that_fill_memory() -> None:
    """A number that would have a thousand million digits is no money."""
    body = b'{"data": {"limit": 1e999999999, "limit_remaining": 1e-999999999}}'
    assert "no credit limit" in read_key(OPENROUTER, 200, {}, body).said


@pytest.mark.parametrize(
    ("data", "advised"),
    [
        ({"limit": None}, "Give it one at https://openrouter.ai/settings/keys"),
        ({"limit_remaining": 0}, "Raise its credit limit at https://openrouter.ai/settings/keys"),
        (
            {"is_management_key": True},
            "and put it into the variable that api_key of [providers.main] names.",
        ),
    ],
)
def test_what_to_do_about_an_openrouter_key(data: dict[str, Any], advised: str) -> None:
    """The next step is told; where all is well, none is."""
    assert advised in key_of_openrouter(**data).advice
    assert key_of_openrouter().advice == ""


# -- statuses


STATUSES: Final = [
    (OPENROUTER, 401, State.FAILED, "The API key is refused (401).", "Make one at https://openrouter.ai"),
    (OPENROUTER, 403, State.FAILED, "The API key is refused (403).", "Make one at"),
    (
        OPENROUTER,
        404,
        State.FAILED,
        "The provider rejected the request (404).",
        "https://openrouter.ai/api/v1",
    ),
    (OPENAI, 401, State.FAILED, "The API key is refused (401).", "Put a valid one into the variable"),
    (KEYLESS, 401, State.FAILED, "A request without an API key is refused (401).", 'an api_key = "env:NAME"'),
    (OPENAI, 402, State.FAILED, "no money left (402).", "Add credit"),
    (OPENAI, 403, State.UNKNOWN, "may not list models (403).", "good for completions all the same"),
    (OPENAI, 404, State.UNKNOWN, "no list of models (404)", "https://llm.example.com/v1"),
    (OPENAI, 405, State.UNKNOWN, "no list of models (405)", "https://llm.example.com/v1"),
    (OPENAI, 400, State.FAILED, "The provider rejected the request (400).", "https://llm.example.com/v1"),
    (OPENAI, 301, State.FAILED, "a redirect, which is not followed (301).", "https://llm.example.com/v1"),
    (OPENAI, 429, State.UNKNOWN, "It asks for patience (429).", "Try again"),
    (OPENAI, 503, State.FAILED, "The provider failed (503).", "Try again"),
    (OPENAI, 204, State.FAILED, "The provider failed (204).", "https://llm.example.com/v1"),
]


@pytest.mark.parametrize(("asked", "status", "state", "said", "advised"), STATUSES)
def test_statuses(asked: Provider, status: int, state: State, said: str, advised: str) -> None:
    """What each status means, and what to do."""
    finding = read_key(asked, status, {}, b"")
    assert finding.state is state
    assert said in finding.said
    assert advised in finding.advice


def test_restricted_key_of_openai() -> None:
    """OpenAI says with a 401 that a good key is not for listing models."""
    body = json.dumps(
        {"error": {"message": "You have insufficient permissions. Missing scopes: api.model.read."}}
    )
    assert read_key(OPENAI, 401, {}, body.encode()).state is State.UNKNOWN


SAID: Final = st.text(max_size=50).map(lambda text: json.dumps({"error": {"message": text + KEY}}).encode())


@given(st.integers(100, 599), SAID | st.binary(max_size=200))
def test_no_answer_is_too_odd(status: int, body: bytes) -> None:
    """Whatever comes back is a finding, that never holds the key, and tells what to do unless all is well."""
    for asked in (OPENROUTER, OPENAI):
        finding = read_key(asked, status, {}, body)
        assert KEY not in finding.said + finding.advice
        assert finding.state is State.OK or finding.advice


# -- lists of models


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b"\xff", b'{"data": {}}', b'{"data": null}', b"[" * 100_000]
)
def test_what_is_no_list(body: bytes) -> None:
    """An answer of anything else is a mistake in the address."""
    assert read_models(200, body) is None
    finding = read_key(OPENAI, 200, {}, body)
    assert (finding.state, finding.said) == (
        State.FAILED,
        "It answers with something that is no list of models.",
    )
    assert "https://llm.example.com/v1" in finding.advice
    assert read_key(OPENROUTER, 200, {}, body).state is State.FAILED


def test_list() -> None:
    """Names are taken, and what is none is left out."""
    body = json.dumps({"data": [{"id": "a"}, {"id": 5}, "b", None, {"name": "c"}, {"id": "a/b"}]}).encode()
    assert read_models(200, body) == frozenset({"a", "a/b"})
    assert read_models(404, body) is None


@pytest.mark.parametrize(
    ("asked", "names", "said"),
    [
        (OPENAI, ["a"], "It answers, the API key is accepted; it has 1 model."),
        (
            KEYLESS,
            [str(Decimal(n)) for n in range(1200)],
            "It answers, no API key is asked for; it has 1,200 models.",
        ),
    ],
    ids=["one", "many"],
)
def test_list_shows_that_the_key_is_good(asked: Provider, names: list[str], said: str) -> None:
    """Who lists its models has taken the key."""
    assert read_key(asked, 200, {}, listing(*names)) == Finding(State.OK, said)


LISTED: Final = frozenset(
    {"openai/gpt-4o-mini", "openai/gpt-4o", "z-ai/glm:free", "gpt-4o-mini-x\x1b[31m", "o" * 500}
)


@pytest.mark.parametrize(
    ("model", "is_there"),
    [
        ("openai/gpt-4o", True),
        ("openai/gpt-4o:nitro", True),
        ("openai/gpt-4o:floor", True),
        ("z-ai/glm:free", True),
        ("z-ai/glm:free:nitro", True),
        ("openai/gpt-4o:free", False),
        ("z-ai/glm", False),
        ("z-ai/glm:nitro", False),
        ("OPENAI/GPT-4O", False),
    ],
)
def test_models_of_openrouter(model: str, is_there: bool) -> None:  # noqa: FBT001 - a column of the table
    """Variants that only route are in no list; those with prices of their own are."""
    assert (find_model(OPENROUTER, model, LISTED).state is State.OK) == is_there


def test_routing_variants_are_openrouters() -> None:
    """Elsewhere, a name is a name."""
    assert find_model(OPENAI, "openai/gpt-4o:nitro", LISTED).state is State.FAILED


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        ("gpt-4o-mini", "Did you mean openai/gpt-4o-mini"),
        ("openai/gpt-4o-mni", "Did you mean openai/gpt-4o-mini or openai/gpt-4o?"),
        ("nothing-like-it", "Look it up in the provider's list of models."),
    ],
)
def test_names_that_are_near(model: str, advice: str) -> None:
    """A name without its vendor, and one that is mistyped, are put right; what does not print is not told."""
    finding = find_model(OPENROUTER, model, LISTED)
    assert finding.said == f"main has no {model}."
    assert advice in finding.advice
    assert finding.advice.isprintable()
