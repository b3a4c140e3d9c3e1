"""`/v1/usage`: what was used and what it cost, and `/v1/keys/me`: what is left to the key that asks.

A key reads what its own requests used; one with `admin` reads all, and may ask about some.
"""

import re
from typing import Any, Final

from fastapi import APIRouter, Request

from common.access.delegation import is_admin
from common.http.function import Function
from common.http.openapi import behind_key
from common.http.request import gateway_of, principal_of
from common.http.standing_shapes import KeyStanding
from common.http.usage_shapes import DESCRIBED, UsagePage, UsageParameters, parameters_of
from common.model.errors import NotFound, PermissionDenied
from common.model.ids import KeyId, RequestId, UserId
from common.model.principal import Permission, Principal
from common.model.usage_query import UsageQuery
from common.ports import Background, Clock, KeyStore, Meter, UsageStore, UserStore
from common.telemetry.text import on_one_line
from common.wire.receipt import Receipt

router = APIRouter()
_LONGEST_ID: Final = 100  # that is said again
_REQUEST_ID: Final = re.compile(r"req_[0-9a-z]{16}", re.ASCII)


@router.get("/v1/usage", summary="What was used", openapi_extra={**behind_key(400), "parameters": DESCRIBED})
async def usage(request: Request) -> UsagePage:
    """Sums by time, and by what `group_by` names: those of the key's own requests; as `admin` of all, or of some."""
    principal = await principal_of(request, Permission.USAGE_READ)
    asked, gateway = parameters_of(request), gateway_of(request)
    spans, next_page = asked.spans(gateway.clock.now_ms() // 1000)
    own = _whose(principal, asked)
    if not spans:
        return UsagePage(data=[], has_more=False, next_page=None)
    query = UsageQuery(
        start_ms=spans[0].start * 1000,
        end_ms=spans[-1].end * 1000,
        width_ms=asked.width_s * 1000,
        group_by=frozenset(asked.group_by),
        models=None if asked.models is None else frozenset(asked.models),
        **own,
    )
    return UsagePage.of(spans, asked.width_s, await gateway.usage.sums(query), next_page)


@router.get("/v1/usage/{request_id}", summary="The receipt of a request", openapi_extra=behind_key(404))
async def receipt(request: Request, request_id: str) -> Receipt:
    """What one request used, at which prices, what was held for it, and where its time went."""
    principal = await principal_of(request, Permission.USAGE_READ)
    record = None
    if _REQUEST_ID.fullmatch(request_id):
        record = await gateway_of(request).usage.find(RequestId(request_id))
    if record is None or not (is_admin(principal) or record.key_id == principal.key_id):
        raise NotFound(
            f"There is no usage of a request `{on_one_line(request_id, _LONGEST_ID)}` of this key."
            " A request that has just ended is settled within seconds; one that was refused has none.",
            code="request_not_found",
        )
    return Receipt.of(record)


@router.get("/v1/keys/me", summary="What is left to this key", openapi_extra=behind_key())
async def standing(request: Request) -> KeyStanding:
    """Of each limit of the key and of its user: what is used, held and left, and when it resets."""
    principal, gateway = await principal_of(request, None), gateway_of(request)
    rows = await gateway.meter.standing(principal)
    return KeyStanding.of(principal, rows, gateway.clock.now_ms())


def _whose(principal: Principal, asked: UsageParameters) -> dict[str, Any]:
    """Whose usage it is about. `PermissionDenied` where that is for `admin` to see."""
    keys, users = asked.api_key_ids, asked.user_ids
    if is_admin(principal):
        return {
            "keys": None if keys is None else frozenset(map(KeyId, keys)),
            "users": None if users is None else frozenset(map(UserId, users)),
        }
    for param, named, own in (
        ("api_key_ids", keys, principal.key_id),
        ("user_ids", users, principal.user),
    ):
        if named is not None and set(named) != {own}:
            raise PermissionDenied(
                "A key reads its own usage only; that of others is for `admin`.", param=param
            )
    return {"keys": frozenset({principal.key_id}), "users": frozenset({principal.user})}


function = Function(
    name="usage", router=router, needs=(KeyStore, UserStore, UsageStore, Meter, Background, Clock)
)
