"""The answers of `GET /v1/models` and `GET /v1/models/{model}`: OpenAI's shape, and what is known besides.

`pricing` and `context_length` are as OpenRouter has them, whose names clients know:
https://openrouter.ai/docs/api-reference/list-available-models (2026-11-24).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from common.model.catalog import Modality, Tier


class Pricing(BaseModel):
    """Exact decimals: USD per token, `request` per request. A class that is not there has no price of its own."""

    model_config = ConfigDict(defer_build=True)

    prompt: str
    completion: str
    input_cache_read: str | None = None
    input_cache_write: str | None = None
    internal_reasoning: str | None = None
    image_token: str | None = None
    audio: str | None = None
    request: str | None = None


class Model(BaseModel):
    """One model. What nobody has said of it is not there.

    `created` is part of OpenAI's shape; the gateway does not know when a model was made.
    """

    model_config = ConfigDict(defer_build=True)

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "sluice"
    models: list[str] | None = (
        None  # that an alias or a virtual model stands for; what differs is told by them
    )
    tier: Tier | None = None
    context_length: int | None = None  # tokens of prompt and answer together
    max_output_tokens: int | None = None
    modalities: list[Modality] | None = None  # that messages may have
    pricing: Pricing | None = None


class ModelList(BaseModel):
    """All of them."""

    model_config = ConfigDict(defer_build=True)

    object: Literal["list"] = "list"
    data: list[Model]
