"""A provider's list of models becomes lines of the operator's catalog."""

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.catalog import Modality
from common.model.price import Prices
from common.routing.catalog import Change, changes, read_list, rewritten
from common.settings import ProviderKind, ProviderSettings, TargetSettings
from common.settings.catalog import Catalog

NO_PRICES: Final[tuple[Any, ...]] = ("-1", "x", "", None, [], "NaN", "Infinity", "1e9", "2")
ROUTER: Final = ProviderSettings("router", ProviderKind.OPENROUTER)
# as OpenRouter's reference has them (2026-11-24)
MODEL: Final = {
    "id": "vendor/model",
    "canonical_slug": "vendor/model-20260101",
    "name": "Vendor: Model",
    "context_length": 200_000,
    "architecture": {"input_modalities": ["image", "text", "video"], "output_modalities": ["text"]},
    "pricing": {
        "prompt": "0.000003",
        "completion": "0.000015",
        "request": "0",
        "image": "0.0048",
        "web_search": "0.01",
        "internal_reasoning": "0",
        "input_cache_read": "0.0000003",
        "input_cache_write": "0.00000375",
    },
    "top_provider": {"context_length": 200_000, "max_completion_tokens": 64_000, "is_moderated": True},
    "supported_parameters": [
        "tools",
        "response_format",
        "structured_outputs",
        "reasoning",
        "max_tokens",
        "stop",
        "seed",
        "temperature",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
    ],
}


def read(*models: Any) -> list[TargetSettings]:
    """What a list of these says."""
    found = read_list("router", json.dumps({"data": models}).encode())
    assert found is not None
    return found


def with_price(**pricing: Any) -> dict[str, Any]:
    """The model at another price."""
    return {**MODEL, "pricing": {"prompt": "0.000001", "completion": "0.000002", **pricing}}


def prices(**pricing: Any) -> Prices | None:
    """What is read of it."""
    return read(with_price(**pricing))[0].prices


def test_openrouter() -> None:
    """All that the gateway can use."""
    assert read(MODEL) == [
        TargetSettings(
            "router",
            "vendor/model",
            prices=Prices(input=3_000_000, output=15_000_000, cache_read=300_000, cache_write=3_750_000),
            context_length=200_000,
            max_output_tokens=64_000,
            modalities=(Modality.TEXT, Modality.IMAGE),
            unsupported=frozenset({"top_p"}),
            reasoning=True,
        )
    ]


def test_others() -> None:
    """OpenAI's list has but names, vLLM's the context, and a gateway's of this kind what it knows."""
    openai = {"id": "gpt-5", "object": "model", "created": 1, "owned_by": "openai"}
    vllm = {"id": "served", "object": "model", "max_model_len": 4096}
    sluice = {"id": "x", "context_length": 9, "max_output_tokens": 5, "modalities": ["text"]}
    assert read(vllm, openai, sluice) == [
        TargetSettings("router", "served", context_length=4096),
        TargetSettings("router", "x", context_length=9, max_output_tokens=5, modalities=(Modality.TEXT,)),
    ]


@pytest.mark.parametrize(
    ("pricing", "expected"),
    [
        ({}, Prices(input=1_000_000, output=2_000_000)),
        ({"input_cache_read": "0"}, Prices(input=1_000_000, output=2_000_000)),
        ({"internal_reasoning": "0.000003"}, Prices(input=1_000_000, output=2_000_000, reasoning=3_000_000)),
        ({"internal_reasoning": "0.000002"}, Prices(input=1_000_000, output=2_000_000)),
        ({"request": "0.005"}, Prices(input=1_000_000, output=2_000_000, request=5 * 10**9)),
        (
            {"image_token": "0.000004", "audio": "0.000005"},
            Prices(input=1_000_000, output=2_000_000, image=4_000_000, audio=5_000_000),
        ),
        ({"prompt": "0.0000000000001"}, Prices(input=1, output=2_000_000)),
        ({"prompt": 0.000001}, Prices(input=1_000_000, output=2_000_000)),
        (
            {"overrides": [{"min_prompt_tokens": 200_000, "prompt": "0.000006", "completion": "0.0000225"}]},
            Prices(input=6_000_000, output=22_500_000),
        ),
        (
            {"overrides": [{"utc_start": "0000", "prompt": "0.0000005"}]},
            Prices(input=1_000_000, output=2_000_000),
        ),
        ({"overrides": "x", "discount": 0.5}, Prices(input=1_000_000, output=2_000_000)),
        *(({"prompt": wrong}, None) for wrong in NO_PRICES),
    ],
)
def test_prices(pricing: dict[str, Any], expected: Prices | None) -> None:
    """Exact, rounded up beyond that; the highest where it depends; none where it is no price."""
    assert prices(**pricing) == expected


@pytest.mark.parametrize(
    "model",
    [
        {**MODEL, "architecture": {"output_modalities": ["image", "text"]}},
        {"id": "nothing/known"},
        {"id": "two words", "context_length": 5},
        {"id": "two\nlines", "context_length": 5},
        {"id": "é", "context_length": 5},
        {"id": "x" * 300, "context_length": 5},
        {"id": 5, "context_length": 5},
        {"context_length": 5},
        {"id": "", "context_length": -5},
        "x",
        None,
    ],
)
def test_what_is_left_out(model: Any) -> None:
    """What answers in pictures, of which nothing is told, or whose name no line can have."""
    assert read(model, MODEL) == read(MODEL)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"data": {}}', b"\xff", b"[" * 100_000, b'{"data": [1e999999999]}x', b"null"],
)
def test_no_list(body: bytes) -> None:
    """An answer that is none is told from one that is empty."""
    assert read_list("router", body) is None
    assert read_list("router", b'{"data": []}') == []


PRICE: Final = "price=3/15 cache_read=0.3 cache_write=3.75"
WORDS: Final = f"context=200000 output=64000 {PRICE} takes=text,image lacks=top_p reasoning"
OWN: Final = f"# mine\nrouter/gone context=5\nother/x context=6\nrouter/vendor/model {WORDS}\n"


def test_changes() -> None:
    """What is new, what is otherwise than it was known, and what is gone; of what is as before, nothing."""
    fresh = {**MODEL, "id": "new"}
    found = changes(Catalog(OWN), ROUTER, read(fresh, MODEL))
    assert found == [Change("router/gone", "context=5", None), Change("router/new", None, WORDS)]
    dearer = changes(Catalog(OWN.replace("router/gone", "router/new")), ROUTER, read(fresh, MODEL))
    assert dearer == [Change("router/new", "context=5", WORDS)]


def test_changes_to_the_copy() -> None:
    """Before there is a line of the operator's, the copy that comes with the gateway is what is known."""
    [known] = changes(Catalog(), ROUTER, read({**MODEL, "id": "openai/gpt-4o-mini"}))
    assert known.before is not None
    assert "price=0.15/0.6" in known.before
    assert known.after == WORDS


def test_rewritten() -> None:
    """The provider's lines are replaced as a whole, under a date; others, and what is written by hand, stay."""
    text = rewritten(OWN, "router", read(MODEL), "2026-11-25")
    heading = "# router/: as its list of models had it on "
    assert text == f"# mine\nother/x context=6\n{heading}2026-11-25\nrouter/vendor/model {WORDS}\n"
    again = rewritten(text, "router", read(MODEL), "2026-12-01")
    assert again == text.replace("2026-11-25", "2026-12-01")


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MODELS: Final = st.fixed_dictionaries(
    {"id": st.text(max_size=12)}, optional={name: JSON for name in MODEL if name != "id"}
)


@given(st.lists(MODELS, max_size=5))
def test_whatever_a_provider_says_can_be_kept(models: list[dict[str, Any]]) -> None:
    """What is read of any list is written as a catalog, and read again to the same; nothing is changed by it then."""
    found = read_list("router", json.dumps({"data": models}).encode())
    assert found is not None
    catalog = Catalog(rewritten("", "router", found, "2026-11-25"))
    assert changes(catalog, ROUTER, found) == []
