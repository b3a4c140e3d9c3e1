"""`GET /v1/models`: what can be asked for."""

from fastapi import APIRouter, Request

from common.http.function import Function
from common.http.openapi import behind_key
from common.http.request import gateway_of, principal_of
from common.model.principal import Permission
from common.ports import KeyStore, UserStore
from common.wire.openai.models import Model, ModelList

router = APIRouter()


@router.get("/v1/models", summary="The models that can be asked for", openapi_extra=behind_key())
async def models(request: Request) -> ModelList:
    """List them, by name."""
    await principal_of(request, Permission.MODELS)
    configured = gateway_of(request).settings.models
    return ModelList(data=[Model(id=name) for name in sorted(configured)])


function = Function(name="models", router=router, needs=(KeyStore, UserStore))
