"""What a generation did cost in the end, asked for by its id at OpenRouter: `GET /generation?id=`. Pure.

It is there some time after the answer has ended: 404 until then. Token counts are those of the provider behind, in its
own tokens, which are what is charged; in the completion's are those of reasoning, in the prompt's those from a cache.
Source: https://openrouter.ai/docs/api-reference/get-a-generation (2026-08-22).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from common.ports import Timeouts, UpstreamRequest
from common.providers.openai_usage import reported_cost
from common.providers.provider import Provider

MAX_BYTES: Final = 256 * 1024  # of an answer
TIMEOUTS: Final = Timeouts(connect_s=5.0, first_byte_s=10.0, idle_s=5.0, total_s=15.0)


@dataclass(frozen=True, slots=True)
class Generation:
    """What the provider says of one generation; nothing of it is judged."""

    usage: Mapping[str, object]  # counts by the names of `Tokens`, and their `total`
    cost_nanousd: int | None  # what it charges


def generation_requests(provider: Provider, generation_id: str) -> list[UpstreamRequest]:
    """A request for it with each key: those of another account do not find it."""
    url = f"{provider.base_url}/generation?id={quote(generation_id, safe='')}"
    each = [
        tuple(header for header in credential.headers if header[0] != "content-type")
        for credential in provider.credentials.all
    ]
    return [UpstreamRequest("GET", url, headers, b"", TIMEOUTS) for headers in each]


def read_generation(status: int, body: bytes) -> Generation | None:
    """What an answer tells; None where it tells nothing yet: ask again later."""
    if status != 200:
        return None
    try:
        answer = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict):
        return None
    prompt, completion = data.get("native_tokens_prompt"), data.get("native_tokens_completion")
    if prompt is None or completion is None:
        return None
    cost = reported_cost({"cost": data.get("total_cost")})
    return Generation(_usage(prompt, completion, _count(data, "cached"), _count(data, "reasoning")), cost)


def _count(data: Mapping[str, Any], what: str) -> Any:
    """One that may be missing or null, which is none."""
    found = data.get(f"native_tokens_{what}")
    return 0 if found is None else found


def _usage(prompt: Any, completion: Any, cached: Any, reasoning: Any) -> Mapping[str, object]:
    if not all(type(count) is int for count in (prompt, completion, cached, reasoning)):
        return {"input": None, "output": None}
    return {
        "input": prompt - cached,
        "cache_read": cached,
        "output": completion - reasoning,
        "reasoning": reasoning,
        "total": prompt + completion,
    }
