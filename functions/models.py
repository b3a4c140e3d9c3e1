"""`GET /v1/models`, `GET /v1/models/{model}`: what the key may ask for."""

from fastapi import APIRouter, Request
from starlette.convertors import StringConvertor, register_url_convertor

from common.http.function import Function
from common.http.openapi import behind_key
from common.http.request import gateway_of, principal_of
from common.model.errors import ModelNotFound
from common.model.price import Prices, usd_text
from common.model.principal import Permission, Principal
from common.ports import Background, Clock, KeyStore, UserStore
from common.routing.names import Resolved
from common.wire.openai.models import Model, ModelList, Pricing


class ModelNameConvertor(StringConvertor):
    """A model's name in a path. Slashes are part of it; clients send them as they are, or as `%2F`."""

    regex = ".+"


register_url_convertor("model_name", ModelNameConvertor())
router = APIRouter()


@router.get(
    "/v1/models",
    summary="The models that can be asked for",
    response_model_exclude_none=True,
    openapi_extra=behind_key(),
)
async def models(request: Request) -> ModelList:
    """Those that the key may ask for, by name: models, aliases, and `sluice/...` where models have tiers.

    Of a model with a star in its name there is no list; each that it stands for can be asked for by itself.
    """
    principal = await principal_of(request, Permission.MODELS)
    directory = gateway_of(request).directory
    found = (directory.find(name, principal) for name in directory.names(principal))
    described = (_described(each, principal) for each in found if each is not None)
    return ModelList(data=[model for model in described if model is not None])


@router.get(
    "/v1/models/{model:model_name}",
    summary="What is known of a model",
    response_model_exclude_none=True,
    openapi_extra=behind_key(404),
)
async def one_model(request: Request, model: str) -> Model:
    """Show it. One that the key may not ask for is to it as one that there is not."""
    principal = await principal_of(request, Permission.MODELS)
    resolved = gateway_of(request).directory.resolve(model, principal)
    described = _described(resolved, principal)
    if described is None:
        raise ModelNotFound.named(model)
    return described


def _described(resolved: Resolved, principal: Principal) -> Model | None:
    """As the principal finds it, by the target that is asked first; None where it can't ask any.

    Where money binds it, a target without a price is out of its reach. A name that stands for several models says
    whose they are, for what they cost and take differs.
    """
    reachable = [
        each for each in resolved.candidates if each.target.prices is not None or not principal.bound_by_money
    ]
    if not reachable:
        return None
    models = list(dict.fromkeys(each.name for each in reachable))
    others = None if models == [resolved.name] else models
    if len(models) > 1:
        return Model(id=resolved.name, models=others)
    first, target = reachable[0], reachable[0].target
    return Model(
        id=resolved.name,
        models=others,
        tier=first.model.tier,
        context_length=target.context_length,
        max_output_tokens=target.max_output_tokens,
        modalities=list(target.modalities or ()) or None,
        pricing=None if target.prices is None else _pricing(target.prices),
    )


def _pricing(prices: Prices) -> Pricing:
    return Pricing(
        prompt=usd_text(prices.input),
        completion=usd_text(prices.output),
        input_cache_read=_or_none(prices.cache_read),
        input_cache_write=_or_none(prices.cache_write),
        internal_reasoning=_or_none(prices.reasoning),
        image_token=_or_none(prices.image),
        audio=_or_none(prices.audio),
        request=_or_none(prices.request or None),
    )


def _or_none(price: int | None) -> str | None:
    return None if price is None else usd_text(price)


function = Function(name="models", router=router, needs=(KeyStore, UserStore, Background, Clock))
