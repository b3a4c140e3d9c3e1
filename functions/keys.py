"""`/v1/keys`: API keys, managed by one that has the permission `keys:write`.

What it may grant to others is in `common/access/delegation.py`.
"""

import secrets
from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.convertors import StringConvertor, register_url_convertor

from common.access.api_key import RANDOM_BYTES
from common.access.managed_keys import ManagedKeys
from common.access.new_key import NewKey, rotated, with_secret
from common.http.function import Function
from common.http.key_shapes import (
    CreateKey,
    DeletedKey,
    Key,
    KeyList,
    KeyWithSecret,
    RotateKey,
    UpdateKey,
    members,
)
from common.http.openapi import behind_key
from common.http.request import body_of, gateway_of, parse, principal_of
from common.model.errors import InvalidRequest
from common.model.ids import KeyId, UserId, new_key_id
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord, Permission, Principal
from common.ports import Background, Clock, KeyStore, UserStore


class KeyIdConvertor(StringConvertor):
    """What stands for a key in a path. Not `me`, which is another function's."""

    regex = "(?!me(?:/|$))[^/]+"


register_url_convertor("key_id", KeyIdConvertor())
router = APIRouter()
_KEY = "/v1/keys/{key_id:key_id}"
_BODY_ERRORS = (400, 408, 413, 415)


async def _managed(request: Request) -> tuple[Principal, ManagedKeys]:
    principal = await principal_of(request, Permission.KEYS_WRITE)
    return principal, ManagedKeys(principal, gateway_of(request).authenticator)


@router.get("/v1/keys", summary="List keys", openapi_extra=behind_key())
async def list_keys(request: Request, user: str | None = None) -> KeyList:
    """Those of the key's own user; as `admin` of all users, or of one."""
    _, keys = await _managed(request)
    records = await keys.list(None if user is None else UserId(user))
    return KeyList(data=[Key(**members(record)) for record in records])


@router.post(
    "/v1/keys", status_code=201, summary="Make a key", openapi_extra=behind_key(*_BODY_ERRORS, body=CreateKey)
)
async def create_key(request: Request) -> KeyWithSecret:
    """Make a key, and tell it, this once."""
    principal, keys = await _managed(request)
    body, _ = parse(await body_of(request), CreateKey)
    _check_plan(request, body.plan)
    _check_expiry(request, body.expires_ms)
    gateway = gateway_of(request)
    usual = frozenset(each for each in DEFAULT_PERMISSIONS if principal.may(each))
    record = KeyRecord(
        id=new_key_id(gateway.rng),
        key_hash=b"",
        user=principal.user if body.user is None else UserId(body.user),
        name=body.name,
        permissions=usual if body.permissions is None else frozenset(body.permissions),
        created_ms=gateway.clock.now_ms(),
        plan=body.plan or "",
        overrides=body.limits.change({}),
        models=tuple(body.models or ()),
        origins=tuple(body.origins or ()),
        expires_ms=body.expires_ms,
    )
    new = with_secret(record, secrets.token_bytes(RANDOM_BYTES))
    await keys.create(new.record)
    return KeyWithSecret(**members(new.record), key=new.key)


@router.get(_KEY, summary="Show a key", openapi_extra=behind_key(404))
async def get_key(request: Request, key_id: str) -> Key:
    """Show it."""
    _, keys = await _managed(request)
    return Key(**members(await keys.get(KeyId(key_id))))


@router.patch(_KEY, summary="Change a key", openapi_extra=behind_key(404, *_BODY_ERRORS, body=UpdateKey))
async def update_key(request: Request, key_id: str) -> Key:
    """Change what the body names; null takes it away."""
    _, keys = await _managed(request)
    body, _ = parse(await body_of(request), UpdateKey)
    _check_plan(request, body.plan)
    _check_expiry(request, body.expires_ms)
    return Key(**members(await keys.change(KeyId(key_id), body.change)))


@router.post(
    f"{_KEY}/rotate",
    summary="Replace a key's secret",
    openapi_extra=behind_key(404, *_BODY_ERRORS, body=RotateKey, body_required=False),
)
async def rotate_key(request: Request, key_id: str) -> KeyWithSecret:
    """Tell a new secret, this once; the one before stays good for a while."""
    _, keys = await _managed(request)
    body, _ = parse(await body_of(request) or b"{}", RotateKey)
    random_bytes, now_ms = secrets.token_bytes(RANDOM_BYTES), gateway_of(request).clock.now_ms()
    new: list[NewKey] = []

    def rotate(record: KeyRecord) -> KeyRecord:
        new[:] = [rotated(record, random_bytes, now_ms, body.grace_ms)]
        return new[0].record

    record = await keys.change(KeyId(key_id), rotate)
    return KeyWithSecret(**members(record), key=new[0].key)


@router.post(f"{_KEY}/disable", summary="Disable a key", openapi_extra=behind_key(404))
async def disable_key(request: Request, key_id: str) -> Key:
    """Refuse it from now on, until it is enabled."""
    return await _switched(request, key_id, disabled=True)


@router.post(f"{_KEY}/enable", summary="Enable a key", openapi_extra=behind_key(404))
async def enable_key(request: Request, key_id: str) -> Key:
    """Accept it again."""
    return await _switched(request, key_id, disabled=False)


@router.delete(_KEY, summary="Delete a key", openapi_extra=behind_key(404))
async def delete_key(request: Request, key_id: str) -> DeletedKey:
    """Remove it for good. What it used stays in the records."""
    _, keys = await _managed(request)
    await keys.delete(KeyId(key_id))
    return DeletedKey(id=key_id)


async def _switched(request: Request, key_id: str, *, disabled: bool) -> Key:
    _, keys = await _managed(request)
    changed = await keys.change(KeyId(key_id), lambda record: replace(record, disabled=disabled))
    return Key(**members(changed))


def _check_plan(request: Request, plan: str | None) -> None:
    plans = gateway_of(request).settings.plans
    if plan and plan not in plans:
        known = ", ".join(f"`{each}`" for each in plans) or "none"
        raise InvalidRequest(
            f"`plan` is not one that is configured; there are: {known}.", param="plan", code="unknown_plan"
        )


def _check_expiry(request: Request, expires_ms: int | None) -> None:
    if expires_ms is not None and expires_ms <= gateway_of(request).clock.now_ms():
        raise InvalidRequest(
            "`expires_ms` is not valid: it should be in the future, in milliseconds since 1970 (UTC).",
            param="expires_ms",
            code="invalid_value",
        )


function = Function(
    name="keys",
    router=router,
    needs=(KeyStore, UserStore, Background, Clock),
    bodies=(CreateKey, UpdateKey, RotateKey),
)
