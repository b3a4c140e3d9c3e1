"""The answer of `GET /v1/models`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """One model. `created` is part of OpenAI's shape; the gateway does not know when a model was made."""

    model_config = ConfigDict(defer_build=True)

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "sluice"


class ModelList(BaseModel):
    """All of them."""

    model_config = ConfigDict(defer_build=True)

    object: Literal["list"] = "list"
    data: list[Model]
