"""What a route reads from a request, in the order in which it may: the key first, then the body."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from common.access.authenticate import require
from common.gateway.context import RequestContext
from common.gateway.gateway import Gateway
from common.http.headers import RawHeaders
from common.http.patience import Patience
from common.model.errors import BodyTooLarge, InvalidRequest
from common.model.principal import Permission, Principal
from common.telemetry.request_facts import RequestFacts
from common.telemetry.text import for_a_header, on_one_line
from common.wire.json_members import JsonMembers, NotAnObject

_Model = TypeVar("_Model", bound=BaseModel)
_LONGEST_NUMBER: Final = 20  # digits; a longer one is no length, and takes long to read
_LONGEST_NAME: Final = 64  # a longer one is no field's, but a key within one that the client made up
_TYPES: Final = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "float_type": "a number",
    "int_type": "an integer",
    "list_type": "an array",
    "model_type": "an object",
    "string_type": "a string",
}  # what a field should be, by the kind of pydantic's error, whose own words are Python's


def gateway_of(request: Request) -> Gateway:
    """The gateway that serves the request."""
    gateway: Gateway = request.scope["state"]["gateway"]
    return gateway


def context_of(request: Request) -> RequestContext:
    """What the target handed in with the request."""
    context: RequestContext = request.scope["sluice"]
    return context


def facts_of(request: Request) -> RequestFacts:
    """What is known of it so far; its id is there from the start."""
    facts: RequestFacts = request.scope["state"]["facts"]
    return facts


def headers_of(request: Request) -> RawHeaders:
    """Its headers."""
    headers: RawHeaders = request.scope["state"]["headers"]
    return headers


async def principal_of(request: Request, permission: Permission | None) -> Principal:
    """Whose key it is; `AuthenticationFailed` or `PermissionDenied`. The body has not been touched.

    `permission`: what it must be allowed to do; None: whatever it may, it may do this.

    Now and then, it is noted in the background that the key was used.
    """
    headers = headers_of(request)
    authorization, origin = headers.get(b"authorization"), headers.get(b"origin")
    principal = await gateway_of(request).authenticator.authenticate(
        None if authorization is None else authorization.decode("latin-1"),
        None if origin is None else origin.decode("latin-1"),
        context_of(request).background,
    )
    facts = facts_of(request)
    facts.key_id, facts.user = principal.key_id, principal.user
    if permission is not None:
        require(principal, permission)
    return principal


async def body_of(request: Request) -> bytes:
    """The whole body, which is JSON. `BodyTooLarge` as soon as that is known, before the rest is read.

    Raises `HTTPException`: 415 where it is said to be something else, 408 where it does not come in time.
    """
    headers = headers_of(request)
    kind = headers.get(b"content-type", b"application/json").lower()
    # a form is what browsers send without asking first, and what curl says where it is not told
    if b"json" not in kind:
        raise HTTPException(
            415, f"Send the body as application/json, not as {for_a_header(kind, _LONGEST_NAME)}."
        )
    patience: Patience = request.scope["state"]["patience"]
    clock = gateway_of(request).clock
    before = clock.monotonic()
    try:
        return await patience.wait(_read(request, headers))
    except TimeoutError:
        raise HTTPException(408, "The request body did not come in time.") from None
    finally:
        facts_of(request).waited_s += clock.monotonic() - before


async def _read(request: Request, headers: RawHeaders) -> bytes:
    limit = gateway_of(request).settings.server.max_body_bytes
    announced = headers.get(b"content-length", b"")
    length = int(announced) if announced.isdigit() and len(announced) < _LONGEST_NUMBER else None
    if length is not None and length > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest(
                "The request body broke off, or is not framed as HTTP is.", code="incomplete_body"
            )
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            raise _too_large(limit)
        # what comes behind the announced length is only the sign that it has come
        if size == length or not message.get("more_body", False):
            return b"".join(pieces)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is longer than this gateway takes: {limit} bytes.")


def parse(body: bytes, shape: type[_Model]) -> tuple[_Model, JsonMembers]:
    """The body in its shape, and as it was sent. `InvalidRequest` names the first field that does not fit."""
    try:
        members = JsonMembers(body)
    except NotAnObject as problem:
        raise InvalidRequest(f"The body must be a JSON object: {problem}.", code="invalid_json") from None
    try:
        return shape.model_validate(members.values), members
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False)) from None


def invalid(errors: Sequence[Any], *, start: int = 0) -> InvalidRequest:
    """OpenAI's wording: what is wrong with which field. Of a field that may be several things, all that it may be.

    `errors`: pydantic's; the first `start` parts of their places do not name fields.
    """
    found = [(_param(each["loc"][start:]), each) for each in errors]
    param, first = found[0]
    if first["type"] == "missing":
        return InvalidRequest(f"`{param}` is required.", param=param, code="missing_required_parameter")
    if first["type"] == "extra_forbidden":
        return InvalidRequest(
            f"`{param}` is not a field of this request.", param=param, code="unknown_parameter"
        )
    # an array that has a wrong item is meant as one: what is wrong is the item
    param = next((inner for inner, _ in found if inner.startswith(f"{param}[")), param)
    types = dict.fromkeys(
        _TYPES[each["type"]] for name, each in found if name == param and each["type"] in _TYPES
    )
    said = (
        f"it should be {' or '.join(types)}"
        if types
        else first["msg"]
        .replace("Input should", "it should")
        .replace("Value error, expected", "it should be")
    )
    return InvalidRequest(f"`{param}` is not valid: {said}.", param=param, code="invalid_value")


def _param(loc: tuple[Any, ...]) -> str:
    """`messages[0].role`; the branches of a union, which pydantic names too, are left out."""
    if not loc:
        return "body"  # half a character in a field's name: pydantic can't say which
    path = on_one_line(str(loc[0]), _LONGEST_NAME)  # an unknown field is the client's own word
    for part in loc[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif (
            part.isidentifier() and len(part) <= _LONGEST_NAME and part not in {"str", "int", "float", "bool"}
        ):
            path += f".{part}"
    return path
