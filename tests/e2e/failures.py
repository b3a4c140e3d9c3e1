"""Requests that fail, in every way that a client has a word for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from common.model.limits import Limit
from common.model.principal import Permission
from tests.e2e.client import Client, records, task
from tests.e2e.provider_turns import saying
from tests.support.answers import completion
from tests.support.gateway import UNKNOWN_KEY
from tests.support.scripted import Script, answering, scripted

HELLO: Final = saying("Hello.", streamed=False)
# costs 150,000 of 270,000 nano-dollars; any further request may cost more than what is left
DEAR: Final = answering(completion(usage={"prompt_tokens": 140, "completion_tokens": 5, "total_tokens": 145}))


def failing(status: str, error: Mapping[str, Any], *headers: str) -> Script:
    """A provider that says itself what is wrong."""
    return answering(json.dumps({"error": dict(error)}).encode(), status, *headers)


@dataclass(frozen=True, slots=True)
class Case:
    """A request that fails: how it comes to that, and what is told of it."""

    raised: str  # by the official clients
    status: int
    code: str | None
    param: str | None = None
    script: Script = HELLO
    task: Mapping[str, Any] = field(default_factory=dict)
    gateway: Mapping[str, Any] = field(default_factory=dict)
    good_before: int = 0  # requests that pass
    retry_after_s: range | None = None


CASES: Final[Mapping[str, Case]] = {
    "unknown key": Case("AuthenticationError", 401, "invalid_api_key", task={"key": UNKNOWN_KEY}),
    "permission lacks": Case(
        "PermissionDeniedError",
        403,
        "insufficient_permissions",
        gateway={"permissions": frozenset({Permission.MODELS})},
    ),
    "unknown model": Case("NotFoundError", 404, "model_not_found", "model", task={"model": "nobody"}),
    "wrong type": Case("BadRequestError", 400, "invalid_value", "temperature", task={"temperature": "hot"}),
    "larger than a limit": Case(
        "BadRequestError",
        400,
        "request_too_large",
        gateway={"overrides": {Limit.TOKENS_PER_MINUTE: 1}},
    ),
    "rate": Case(
        "RateLimitError",
        429,
        "rate_limit_exceeded",
        gateway={"overrides": {Limit.REQUESTS_PER_MINUTE: 1}},
        good_before=1,
        retry_after_s=range(60, 71),
    ),
    "budget": Case(
        "RateLimitError",
        429,
        "insufficient_quota",
        script=DEAR,
        task={"max_tokens": 5},
        gateway={"overrides": {Limit.BUDGET_TOTAL: 270_000}},
        good_before=1,
    ),
    "rejected by the provider": Case(
        "BadRequestError",
        400,
        "context_length_exceeded",
        "messages",
        failing(
            "400 Bad Request",
            {"message": "too long", "param": "messages", "code": "context_length_exceeded"},
        ),
    ),
    "provider is busy": Case(
        "RateLimitError",
        429,
        "provider_rate_limited",
        script=failing("429 Too Many Requests", {"message": "busy"}, "retry-after: 7"),
        retry_after_s=range(7, 8),
    ),
    "provider fails": Case(
        "InternalServerError",
        502,
        "provider_error",
        script=failing("500 Internal Server Error", {"message": "oops"}),
    ),
    "provider sends a page": Case("InternalServerError", 502, "provider_error", script=answering(b"<html>")),
}


async def fail(client: Client, name: str, scenario: str = "whole") -> dict[str, Any]:
    """The error that a case ends in."""
    case = CASES[name]
    async with scripted(case.script, **case.gateway) as gateway:
        for _ in range(case.good_before):
            assert "error" not in await client.play("whole", task(gateway, **case.task))
        await records(gateway, case.good_before)
        seen = await client.play(scenario, task(gateway, **case.task))
        *_, line = await gateway.lines(case.good_before + 1)
    error: dict[str, Any] = seen["error"]
    assert error.get("requestId", line["request_id"]) == line["request_id"]
    return error
