"""What is asked about a generation, and what of the answers is taken for what."""

import json
from typing import Any

import pytest

from common.providers.generation import Generation, generation_requests, read_generation
from common.providers.provider import provider_of
from common.settings import OnDisconnect, ProviderKind, ProviderSettings, Secret

PROVIDER = provider_of(
    ProviderSettings("p", ProviderKind.OPENROUTER, None, (Secret("sk-or-1"),), OnDisconnect.RECONCILE)
)


def answer(**data: Any) -> bytes:
    """A body."""
    return json.dumps({"data": data}).encode()


FULL = {
    "id": "gen-1",
    "native_tokens_prompt": 100,
    "native_tokens_completion": 50,
    "native_tokens_reasoning": 20,
    "native_tokens_cached": 30,
    "total_cost": 0.0000000015,
    "cancelled": True,
    "tokens_prompt": 1,
    "tokens_completion": 2,
}
USAGE = {"input": 70, "cache_read": 30, "output": 30, "reasoning": 20, "total": 150}


def test_request() -> None:
    """The id is one parameter, whatever stands in it; the key goes along."""
    [request] = generation_requests(PROVIDER, "gen-1&x=/../é")
    assert request.method == "GET"
    assert request.url == "https://openrouter.ai/api/v1/generation?id=gen-1%26x%3D%2F..%2F%C3%A9"
    assert ("authorization", "Bearer sk-or-1") in request.headers
    assert "content-type" not in dict(request.headers)
    assert request.body == b""


def test_told() -> None:
    """Counts are the native ones, in classes that do not overlap; the cost is rounded up to a nano-dollar."""
    assert read_generation(200, answer(**FULL)) == Generation(USAGE, 2)


@pytest.mark.parametrize("missing", ["native_tokens_reasoning", "native_tokens_cached"])
@pytest.mark.parametrize("how", ["null", "absent"])
def test_no_such_tokens(missing: str, how: str) -> None:
    """A part that is not told is none."""
    data = {name: value for name, value in FULL.items() if name != missing or how == "null"}
    told = read_generation(200, answer(**(data | ({missing: None} if how == "null" else {}))))
    assert told is not None
    assert told.usage["total"] == 150
    assert told.usage["reasoning" if "reasoning" in missing else "cache_read"] == 0


@pytest.mark.parametrize("cost", [None, "0.1", -1, True, 1e9])
def test_no_cost(cost: Any) -> None:
    """A cost that is none is not known; the counts are."""
    assert read_generation(200, answer(**FULL | {"total_cost": cost})) == Generation(USAGE, None)


@pytest.mark.parametrize("count", ["5", 5.0, True, [5]])
@pytest.mark.parametrize("name", ["prompt", "completion", "reasoning", "cached"])
def test_no_counts(name: str, count: Any) -> None:
    """Counts that are none are handed on as such, to be refused."""
    told = read_generation(200, answer(**FULL | {f"native_tokens_{name}": count}))
    assert told is not None
    assert told.usage == {"input": None, "output": None}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"error":{"code":404,"message":"Generation not found"}}'),
        (404, answer(**FULL)),
        (200, b""),
        (200, b"\xff"),
        (200, b"[" * 100_000),
        (200, b"[]"),
        (200, b'{"data": null}'),
        (200, b'{"data": []}'),
        (200, answer()),
        (200, answer(**FULL | {"native_tokens_prompt": None})),
        (200, answer(**FULL | {"native_tokens_completion": None})),
    ],
)
def test_nothing_yet(status: int, body: bytes) -> None:
    """What does not tell is asked for again."""
    assert read_generation(status, body) is None
