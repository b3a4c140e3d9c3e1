"""What is OpenRouter's own: headers, prices that bind it, its cost, its errors; by its API's description (2026-08-22).

Its streams are among `streams/` beside, what it tells of keys and generations in `test_examination.py` and
`test_generation.py`.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from openai.types.chat import ChatCompletion

from common.model.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
)
from common.model.price import Prices, usd_per_million, usd_per_request
from common.ports import Timeouts, UpstreamRequest
from common.providers.openai_usage import reported_cost, reported_usage
from common.providers.provider import Provider, provider_of
from common.settings import OnDisconnect, ProviderKind, ProviderSettings, Secret
from common.wire.json_members import JsonMembers

FOLDER: Final = Path(__file__).parent
KEY: Final = "sk-or-v1-0123456789abcdef"
PRICES: Final = Prices(
    input=usd_per_million("0.15"),
    output=usd_per_million("0.6"),
    cache_read=usd_per_million("0.075"),
    request=usd_per_request("0.001"),
)


def provider(kind: ProviderKind = ProviderKind.OPENROUTER) -> Provider:
    """One of the kind."""
    return provider_of(
        ProviderSettings("p", kind, None, (Secret(KEY),), OnDisconnect.RECONCILE)
        if kind is ProviderKind.OPENROUTER
        else ProviderSettings("p", kind, "https://llm.example.com/v1", (Secret(KEY),))
    )


def asked(body: dict[str, Any], changes: dict[str, Any]) -> UpstreamRequest:
    """What goes out."""
    router = provider()
    text = JsonMembers(json.dumps(body).encode())
    credential = router.credentials.take(0)
    return router.chat_request(
        text, changes, output_max=None, credential=credential, timeouts=Timeouts(1, 1, 1)
    )


def test_request() -> None:
    """It goes to OpenRouter with the key, and with the name of the app."""
    request = asked({"model": "openai/gpt-4o-mini", "messages": []}, {})
    assert (request.method, request.url) == ("POST", "https://openrouter.ai/api/v1/chat/completions")
    assert dict(request.headers) == {
        "content-type": "application/json",
        "authorization": f"Bearer {KEY}",
        "x-openrouter-title": "Sluice",
    }


@pytest.mark.parametrize(
    "given", [None, "x", {}, {"sort": "price", "max_price": {"prompt": "9"}, "only": ["x"]}]
)
def test_prices_that_bind(given: Any) -> None:
    """The prices that money is held at are told as the most, in US dollars per million tokens; other wishes stay."""
    body = {"model": "m", "messages": [], "provider": given, "models": ["a"]}
    changes = provider().price_bound(body, PRICES)
    kept = {
        name: value
        for name, value in (given if isinstance(given, dict) else {}).items()
        if name != "max_price"
    }
    most = {"prompt": "0.15", "completion": "0.6", "request": "0.001"}
    assert changes == {"provider": {**kept, "max_price": most}}
    sent = json.loads(asked(body, changes).body)
    assert (sent["provider"]["max_price"], sent["models"]) == (most, ["a"])


def test_others_are_told_no_prices() -> None:
    """Where the prices are the provider's own, there is nothing to bind."""
    assert provider(ProviderKind.OPENAI).price_bound({"provider": {}}, PRICES) == {}


def test_a_whole_answer() -> None:
    """It goes on untouched; the cost that it tells is known, and its tokens in classes of their own."""
    body = (FOLDER / "answer.json").read_bytes()
    answer = provider().codec.read_answer(body)
    assert (answer.body, answer.id) == (None, "gen-1787270400-AbCdEf")
    assert reported_cost(answer.usage) == 1_234_500
    assert reported_usage(answer.usage) == {
        "input": 76,
        "cache_read": 1_024,
        "cache_write": 100,
        "output": 30,
        "reasoning": 20,
        "audio": 0,
        "total": 1_250,
    }
    assert answer.content_bytes == len("Thinking.") + len("Paris.") + len('{"city":"Paris"}')
    assert ChatCompletion.model_validate_json(body).choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("status", "kind", "cls", "code"),
    [
        (400, "context_length_exceeded", UpstreamRejected, "context_length_exceeded"),
        (400, "invalid_prompt", UpstreamRejected, "invalid_prompt"),
        (401, "authentication", UpstreamRefused, "provider_refused"),
        (402, "payment_required", UpstreamRefused, "provider_out_of_credit"),
        (404, "not_found", UpstreamRejected, "not_found"),
        (408, "timeout", UpstreamTimeout, None),
        (413, "payload_too_large", UpstreamRejected, "payload_too_large"),
        (422, "unprocessable", UpstreamRejected, "unprocessable"),
        (429, "rate_limit_exceeded", UpstreamRateLimited, "rate_limit_exceeded"),
        (500, "server", UpstreamFailed, None),
        (502, "provider_unavailable", UpstreamFailed, None),
        (503, "provider_overloaded", UpstreamFailed, None),
        (524, "timeout", UpstreamTimeout, None),
        (529, "provider_overloaded", UpstreamFailed, None),
    ],
)
@pytest.mark.parametrize("within", [False, True], ids=["by status", "within an answer"])
def test_errors(
    status: int,
    kind: str,
    cls: type[UpstreamError],
    code: str | None,
    within: bool,  # noqa: FBT001
) -> None:
    """Each documented status with its `error_type`, as a status of its own and in an answer with 200."""
    error = {"code": status, "message": "m", "metadata": {"error_type": kind, "provider_name": "X"}}
    body = json.dumps({"error": error, "user_id": "user_2abcdefghijkl"}).encode()
    if within:
        with pytest.raises(UpstreamError) as raised:
            provider().codec.read_answer(body)
        found: UpstreamError = raised.value
    else:
        found = provider().codec.failure(status, {}, body)
    assert (type(found), found.code) == (cls, code)


def test_an_error_in_the_middle() -> None:
    """It ends the stream as a failure; the client has what came before it, and no part of it."""
    events = (FOLDER.parent / "streams/openrouter_error.sse").read_bytes()
    stream = provider().codec.stream(show_usage=True, choices=1)
    sent = stream.feed(events)
    assert isinstance(stream.failure, UpstreamRateLimited)
    assert b'"content":"Hel"' in sent
    assert b"error" not in sent
    assert not isinstance(stream.failure, UpstreamBroken)
